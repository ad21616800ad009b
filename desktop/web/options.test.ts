import { describe, expect, it } from 'vitest';
import { parseWebOptions } from './options.ts';

const parse = (args: readonly string[]) => parseWebOptions({ args, defaultDataDirectory: '/data/nest', folder: '/here' });

describe('the options of the web host', () => {
  it('have defaults for all', () => {
    expect(parse([])).toEqual({ port: 0, dataDirectory: '/data/nest', renderer: undefined, demo: undefined, mode: 'serve' });
  });

  it('are read relative to the folder', () => {
    expect(parse(['--data', 'd', '--port=4500', '--demo', 'lab.json', '--renderer', '../page'])).toEqual({
      port: 4500,
      dataDirectory: '/here/d',
      renderer: '/page',
      demo: '/here/lab.json',
      mode: 'serve',
    });
  });

  it('keep nothing of a demo unless told where', () => {
    expect(parse(['--demo', 'lab.json']).dataDirectory).toBeUndefined();
  });

  it('name the nearest option for a misspelt one', () => {
    expect(() => parse(['--prot', '1'])).toThrow('There is no option --prot. Did you mean --port?');
    expect(() => parse(['--colour'])).toThrow('There is no option --colour. See --help.');
  });

  it.each([['--port', 'x'], ['--port', '65536'], ['--port', '-1'], ['--port'], ['--port', ''], ['serve'], ['--help=1']])(
    'refuse %s %s',
    (...args) => {
      expect(() => parse(args)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }) as Error);
    },
  );
});
