/** Completion for PowerShell 5.1 and later. */
import { kindWord, optionEntries } from './command-table.ts';
import type { TablePlace } from './command-table.ts';

/** A script for the profile: the commands as JSON, and a completer that walks through the words. */
export const powershellCompletion = (table: readonly TablePlace[]): string => {
  const places = table.map((place) => {
    const { names, takes } = optionEntries(place, table);
    return {
      path: place.path,
      commands: place.commands,
      options: names,
      takes,
      values: place.values.map(kindWord),
      repeats: place.repeatsLast,
    };
  });
  return `# Completion of nest for PowerShell, made by "nest completion powershell". Make it anew after an update.
$script:NestTable = @{}
foreach ($place in (ConvertFrom-Json @'
${JSON.stringify(places)}
'@)) { $script:NestTable["$($place.path)"] = $place }

Register-ArgumentCompleter -Native -CommandName nest -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $before = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | Select-Object -Skip 1 | ForEach-Object { "$_" })
  $place = $script:NestTable['']
  $option = ''; $want = ''; $wanted = 'any'; $data = @(); $count = 0
  foreach ($word in $before) {
    if ($want -eq 'one' -or ($want -eq 'many' -and -not $word.StartsWith('-'))) {
      if ($option -eq '--data') { $data = @('--data', $word.Trim("'\`"")) }
      if ($want -eq 'one') { $want = '' }
      continue
    }
    $want = ''
    if ($word.StartsWith('-')) {
      $option, $rest = $word -split '=', 2
      foreach ($entry in $place.takes) {
        $parts = $entry -split ':', 3
        if ($parts[0] -ceq $option) { $want = $parts[1]; $wanted = $parts[2] }
      }
      if ($null -ne $rest) {
        if ($option -eq '--data') { $data = @('--data', $rest.Trim("'\`"")) }
        $want = ''
      }
    } elseif ($place.commands.name -ccontains $word) {
      $path = "$($place.path) $word".Trim()
      if ($script:NestTable.ContainsKey($path)) { $place = $script:NestTable[$path] } else { return }
      $count = 0
    } else { $count++ }
  }
  $kind = 'any'
  if ($want -eq 'one' -or ($want -eq 'many' -and -not $wordToComplete.StartsWith('-'))) { $kind = $wanted }
  elseif ($wordToComplete.StartsWith('-')) { $kind = 'options' }
  elseif (@($place.commands).Count -gt 0) { $kind = 'commands' }
  elseif ($count -lt @($place.values).Count) { $kind = @($place.values)[$count] }
  elseif ($place.repeats) { $kind = @($place.values)[-1] }
  $offered = switch -Wildcard ($kind) {
    'commands' { $place.commands }
    'options' { $place.options | ForEach-Object { @{ name = $_; about = $_ } } }
    'hosts' { & nest @data complete hosts 2>$null | ForEach-Object { @{ name = $_; about = 'host' } } }
    'groups' { & nest @data complete groups 2>$null | ForEach-Object { @{ name = $_; about = 'group' } } }
    'words:*' { $kind.Substring(6) -split ',' | ForEach-Object { @{ name = $_; about = $_ } } }
  }
  $offered | Where-Object { $_.name -and "$($_.name)".StartsWith($wordToComplete) } | ForEach-Object {
    $text = if ("$($_.name)" -match '[^\\w.-]') { "'" + "$($_.name)".Replace("'", "''") + "'" } else { "$($_.name)" }
    [System.Management.Automation.CompletionResult]::new($text, "$($_.name)", 'ParameterValue', "$($_.about)")
  }
}`;
};
