/** Completion for bash (3.2 and later) and zsh: the commands as one shell function, the same walk through the words for both. */
import { kindWord, optionEntries } from './command-table.ts';
import type { TablePlace } from './command-table.ts';

/** A script for `source` in bash. */
export const bashCompletion = (table: readonly TablePlace[]): string =>
  `# Completion of nest for bash, made by "nest completion bash". Make it anew after an update.
${tableFunction(table)}

${walk}

# Offers words that begin like the one under the cursor. Nothing is expanded or run.
_nest_offer() {
  local word
  for word in "$@"; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
  done
}

_nest() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" word place kind
  local commands options takes values repeats
  local -a data
  data=()
  COMPREPLY=()
  # bash parts words at "=": "--host=edge" is three of them.
  [[ $cur == = ]] && cur=''
  _nest_walk "\${COMP_WORDS[@]:1:COMP_CWORD-1}"
  case $kind in
    commands) _nest_offer $commands ;;
    options) _nest_offer $options ;;
    files)
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
      ;;
    hosts | groups)
      while IFS= read -r word; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$(printf %q "$word")")
      done < <(command nest "\${data[@]}" complete "$kind" 2>/dev/null)
      ;;
    words:*)
      kind=\${kind#words:}
      _nest_offer \${kind//,/ }
      ;;
  esac
  return 0
}

complete -F _nest nest`;

/** A file `_nest` for a folder of `$fpath` in zsh. */
export const zshCompletion = (table: readonly TablePlace[]): string =>
  `#compdef nest
# Completion of nest for zsh, made by "nest completion zsh". Make it anew after an update.
${tableFunction(table)}

${aboutFunction(table)}

${walk}

_nest() {
  local cur="$words[CURRENT]" word place kind
  local commands options takes values repeats
  local -a data offered
  data=()
  offered=()
  _nest_walk "\${(@)words[2,CURRENT-1]}"
  case $kind in
    commands)
      for word in \${=commands}; do offered+=("$word:$(_nest_about "$place" "$word")"); done
      _describe command offered
      ;;
    options) compadd -- \${=options} ;;
    files) _files ;;
    hosts | groups)
      offered=("\${(@f)$(command nest "\${data[@]}" complete "$kind" 2>/dev/null)}")
      compadd -a offered
      ;;
    words:*) compadd -- \${(s:,:)kind#words:} ;;
  esac
}

# As a file of $fpath its first call completes at once; sourced, it is registered.
if [[ $funcstack[1] == _nest ]]; then _nest "$@"; else compdef _nest nest; fi`;

/** Global options may stand anywhere: they are told beside those of the place. Every word is of letters, digits, dashes, colons, commas and dots. */
const tableFunction = (table: readonly TablePlace[]): string => {
  const cases = table.map(({ path, commands, values, repeatsLast, ...place }) => {
    const { names, takes } = optionEntries({ ...place, path }, table);
    const set = [
      `commands='${commands.map(({ name }) => name).join(' ')}'`,
      `options='${names.join(' ')}'`,
      `takes='${takes.join(' ')}'`,
      `values='${values.map(kindWord).join(' ')}'`,
      `repeats='${repeatsLast ? 'yes' : ''}'`,
    ];
    return `    '${path}') ${set.join('; ')} ;;`;
  });
  return [
    '# What may stand at a place: sets commands, options, takes (option:one|many:kind), values and repeats.',
    '_nest_table() {',
    '  case $1 in',
    ...cases,
    "    *) commands=''; options=''; takes=''; values=''; repeats='' ;;",
    '  esac',
    '}',
  ].join('\n');
};

const aboutFunction = (table: readonly TablePlace[]): string => {
  const cases = table.flatMap(({ path, commands }) =>
    commands.map(({ name, about }) => `    '${path} ${name}') print -r -- '${about.replaceAll("'", `'\\''`)}' ;;`),
  );
  return ['_nest_about() {', '  case "$1 $2" in', ...cases, '  esac', '}'].join('\n');
};

/** Runs in bash, and in zsh as if it were ksh, where unquoted variables are parted at blanks. */
const walk = `# Goes through the words before the cursor; sets place, kind (what the next word is) and data (the --data that was given).
_nest_walk() {
  [[ -n "\${ZSH_VERSION-}" ]] && emulate -L ksh
  local word entry option='' want='' wanted='' count=0 index=0
  place=''
  _nest_table ''
  for word in "$@"; do
    [[ $word == '=' ]] && continue
    if [[ $want == one || ( $want == many && $word != -* ) ]]; then
      [[ $option == --data ]] && data=(--data "$word")
      [[ $want == one ]] && want=''
      continue
    fi
    want=''
    if [[ $word == -* ]]; then
      option="\${word%%=*}"
      for entry in $takes; do
        if [[ $entry == "$option":* ]]; then
          wanted="\${entry#*:}"
          want="\${wanted%%:*}"
          wanted="\${wanted#*:}"
        fi
      done
      if [[ $word == *=* ]]; then
        [[ $option == --data ]] && data=(--data "\${word#*=}")
        want=''
      fi
    elif [[ " $commands " == *" $word "* ]]; then
      place="$place\${place:+ }$word"
      count=0
      _nest_table "$place"
    else
      count=$((count + 1))
    fi
  done
  kind=any
  if [[ $want == one || ( $want == many && $cur != -* ) ]]; then
    kind="$wanted"
  elif [[ $cur == -* ]]; then
    kind=options
  elif [[ -n "$commands" ]]; then
    kind=commands
  else
    for entry in $values; do
      [[ $index == "$count" || ( -n "$repeats" && $index -lt $count ) ]] && kind="$entry"
      index=$((index + 1))
    done
  fi
}`;
