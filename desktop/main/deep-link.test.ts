import { describe, expect, it } from 'vitest';
import { deepLinkOf, parseDeepLink } from './deep-link.ts';
import { isExternalLinkAllowed } from './external-link.ts';

const id = '01JZ3N8V5T9QWERTY000000000';

describe('deep links', () => {
  it.each([
    ['nest://hosts', '/hosts'],
    ['nest://policy/', '/policy'],
    [`nest://hosts/${id}`, `/hosts/${id}`],
  ])('%s shows %s', (link, path) => {
    expect(parseDeepLink(link)).toBe(path);
  });

  it.each([
    '',
    'nest:',
    'nest://',
    'nest:hosts',
    'nest:///hosts',
    'NEST://hosts',
    'nest://Hosts\u0000',
    'nest://unlock',
    'nest://policy/apply',
    `nest://policy/${id}`,
    'nest://hosts/../policy',
    'nest://hosts/%2e%2e',
    `nest://hosts/${id}/apply`,
    `nest://hosts/${id.toLowerCase()}`,
    `nest://hosts/${id}?confirm=1`,
    `nest://hosts/${id}#x`,
    'nest://user:pass@hosts',
    'nest://hosts:80',
    'nest://hosts --inspect',
    'nest://hosts\nnest://policy',
    'https://hosts',
    'javascript:alert(1)',
    'file:///etc/passwd',
    'nest-app://console/',
    `nest://hosts/${'A'.repeat(300)}`,
  ])('%j shows nothing', (link) => {
    expect(parseDeepLink(link)).toBeUndefined();
  });

  it('are taken from the arguments of a start only when there is exactly one', () => {
    expect(deepLinkOf(['/usr/bin/nest', '--flag', 'nest://policy'])).toBe('/policy');
    expect(deepLinkOf(['nest://policy', 'nest://hosts'])).toBeUndefined();
    expect(deepLinkOf([])).toBeUndefined();
  });
});

describe('links to the outside', () => {
  it.each(['https://www.penguintech.io', 'https://www.penguintech.io/nest?x=1', 'https://docs.penguintech.io/'])(
    '%s opens in the browser',
    (link) => {
      expect(isExternalLinkAllowed(link)).toBe(true);
    },
  );

  it.each([
    'http://www.penguintech.io',
    'https://penguintech.io.evil.example',
    'https://www.penguintech.io.evil.example',
    'https://www.penguintech.io@evil.example',
    'https://evil.example/www.penguintech.io',
    'https://user@www.penguintech.io',
    'https://www.penguintech.io:8443',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'smb://www.penguintech.io',
    'ms-msdt:/id',
    '//www.penguintech.io',
    '',
    `https://www.penguintech.io/${'a'.repeat(3000)}`,
  ])('%j stays closed', (link) => {
    expect(isExternalLinkAllowed(link)).toBe(false);
  });
});
