# Sourced by the scripts: runs parts of them by name and says at the end how long each took.

phase_lines=()

# phase NAME COMMAND...  Prints the name, runs the command and notes its seconds: of the clock, and of the processors for
# all processes that it waited for. Answers as the command does.
phase() {
  local name=$1 began=$SECONDS before outcome=0
  shift
  echo "== $name"
  before=$(processor_hundredths $$)
  "$@" || outcome=$?
  phase_lines+=("$(printf '%5d s %7d s  %s' $((SECONDS - began)) $((($(processor_hundredths $$) - before) / 100)) "$name")")
  return $outcome
}

# print_phases  A table of all phases so far. With a first argument, nothing where another script prints them.
print_phases() {
  [ ${#phase_lines[@]} -gt 0 ] || return 0
  printf '\n  clock processor\n'
  printf '%s\n' "${phase_lines[@]}"
}

# processor_hundredths PROCESS  Of the children that the process has waited for, and of theirs.
processor_hundredths() {
  local stat
  read -r stat <"/proc/$1/stat"
  # The name in parentheses may have blanks; user and system time of children are the 13th and 14th field after it.
  set -- ${stat##*) }
  echo $((${14} + ${15}))
}
