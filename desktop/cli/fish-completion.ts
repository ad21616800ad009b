/** Completion for fish. */
import { kindWord, optionEntries } from './command-table.ts';
import type { TableOption, TablePlace } from './command-table.ts';

/** A file `nest.fish` for fish's folder of completions. */
export const fishCompletion = (table: readonly TablePlace[]): string =>
  `# Completion of nest for fish, made by "nest completion fish". Make it anew after an update.
function __nest_table
  set -g __nest_commands
  set -g __nest_options
  set -g __nest_takes
  set -g __nest_values
  set -g __nest_repeats no
  switch "$argv[1]"
${table.map((place) => caseOf(place, table)).join('\n')}
  end
end

${walk}`;

const caseOf = (place: TablePlace, table: readonly TablePlace[]): string => {
  const { names, takes } = optionEntries(place, table);
  const lines = [
    `    case '${place.path}'`,
    `      set -g __nest_commands ${place.commands.map(({ name, about }) => entryOf(name, about)).join(' ')}`,
    `      set -g __nest_options ${names.map((name) => entryOf(name, aboutOf(name, [place, ...table]))).join(' ')}`,
    `      set -g __nest_takes ${takes.join(' ')}`,
    `      set -g __nest_values ${place.values.map(kindWord).join(' ')}`,
    `      set -g __nest_repeats ${place.repeatsLast ? 'yes' : 'no'}`,
  ];
  return lines.map((line) => line.trimEnd()).join('\n');
};

const aboutOf = (name: string, places: readonly { readonly options: readonly TableOption[] }[]): string =>
  places.flatMap(({ options }) => options).find(({ names }) => names.includes(name))?.about ?? '';

/** A word, a tab and what it is about; only backslash and quote are special between single quotes. */
const entryOf = (word: string, about: string): string => `'${word}'\\t'${about.replaceAll(/[\\']/g, (character) => `\\${character}`)}'`;

/** Goes through the words before the cursor, then prints what may stand there. */
const walk = `# What is before the tab of each entry: the word without what it is about.
function __nest_words
  string replace -r '\\t.*' '' -- $argv
end

function __nest_complete
  set -l before (commandline -opc)
  set -e before[1]
  set -l cur (commandline -ct)
  set -l place ''
  set -l option ''
  set -l want ''
  set -l wanted any
  set -l data
  set -l count 0
  __nest_table ''
  for word in $before
    set -l is_option no
    string match -q -- '-*' "$word"; and set is_option yes
    if test "$want" = one; or test "$want/$is_option" = many/no
      test "$option" = --data; and set data --data "$word"
      test "$want" = one; and set want ''
      continue
    end
    set want ''
    if test $is_option = yes
      set option (string replace -r '=.*' '' -- "$word")
      for entry in $__nest_takes
        set -l parts (string split -m 2 : -- "$entry")
        if test "$parts[1]" = "$option"
          set want $parts[2]
          set wanted $parts[3]
        end
      end
      if string match -q -- '*=*' "$word"
        test "$option" = --data; and set data --data (string replace -r '^[^=]*=' '' -- "$word")
        set want ''
      end
    else if contains -- "$word" (__nest_words $__nest_commands)
      set place (string trim -- "$place $word")
      set count 0
      __nest_table "$place"
    else
      set count (math $count + 1)
    end
  end
  set -l kind any
  if test "$want" = one; or begin; test "$want" = many; and not string match -q -- '-*' "$cur"; end
    set kind $wanted
  else if string match -q -- '-*' "$cur"
    printf '%s\\n' $__nest_options
    return
  else if test (count $__nest_commands) -gt 0
    printf '%s\\n' $__nest_commands
    return
  else if test (count $__nest_values) -gt $count
    set kind $__nest_values[(math $count + 1)]
  else if test $__nest_repeats = yes
    set kind $__nest_values[-1]
  end
  switch $kind
    case files
      __fish_complete_path "$cur"
    case hosts groups
      command nest $data complete $kind 2>/dev/null
    case 'words:*'
      string split , -- (string replace words: '' -- $kind)
  end
end

complete -c nest -f -a '(__nest_complete)'`;
