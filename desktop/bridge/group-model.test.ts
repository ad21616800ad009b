import { expect, it } from 'vitest';
import { checkedInput } from './checked-input.ts';
import { parseHostQuery } from './host-grammar.ts';

it('a group has a name that can be written in a query', () => {
  for (const name of ['edges', 'ams1.edge_2-b', '7'])
    expect([checkedInput('groups.remove', { name }), parseHostQuery(`group:${name}`)]).toEqual([
      { name },
      { kind: 'field', key: 'group', value: name },
    ]);
  for (const name of ['bad/name', 'a b', 'Edges', 'a)', '-a', '', 'é'])
    expect(checkedInput('groups.put', { name, members: { rule: 'edge' } })).toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('a group is written with lower-case letters'),
    });
});
