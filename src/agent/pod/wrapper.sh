# busybox sh <volume>/bin/wrapper.sh COMMAND ARGUMENT...: the first process of a step's container, in any image.
#
# Runs the command in a session of its own, its output into the log and to the container's; passes SIGTERM on, kills what is left after
# ANNEAL_STOP_GRACE seconds, and ends it after ANNEAL_TIMEOUT. When nothing of it is left the exit code is put into ctl/exit, and the agent
# beside stores what the command made. Only when that has written ctl/done does the container end: with the command's exit code, or 97 where its
# outputs could not be stored. src/core/pod-layout.ts says what the files are.
#
# Nothing here may come from the image: every program is busybox's, and builtins of its shell are used where there are any.
root=${0%/bin/*}
B=$root/bin/busybox
ctl=$root/ctl
log=$root/logs/output.log
grace=${ANNEAL_STOP_GRACE:-30}
child='' stopping='' ended='' file='' killer='' timer='' passer=''

# stop REASON: ends the command, once. What ended by itself is not ended by anybody.
stop() {
  [ -z "$stopping$ended" ] || return 0
  stopping=$1
  put ended-by "$1"
  [ -z "$child" ] || terminate
}
trap 'stop signal' TERM INT
trap 'stop timeout' USR1
trap 'kill_all' USR2

# put NAME TEXT: a control file, whole or not at all.
put() { printf '%s\n' "$2" 2> /dev/null > "$ctl/$1.tmp" && $B mv -f "$ctl/$1.tmp" "$ctl/$1"; }

# after SECONDS SIGNAL: sends this shell a signal then; $! is who can be told not to, by SIGTERM.
after() {
  (
    exec 3>&- 4>&- > /dev/null 2>&1
    over=''
    trap 'over=1; kill -KILL $!' TERM
    $B sleep "$1" &
    [ -z "$over" ] || kill -KILL $!
    wait $! && kill "-$2" $$
  ) &
}

terminate() {
  # Its session may not be there yet.
  kill -TERM "-$child" 2> /dev/null || kill -TERM "$child" 2> /dev/null
  signal_strays TERM
  after "$grace" USR2
  killer=$!
}

kill_all() {
  kill -KILL "-$child" 2> /dev/null
  signal_strays KILL
}

# What the command started and is in a group of its own, as the workers of torchrun are. The first process of a container sees nobody else's;
# elsewhere they are known by a variable.
strays() {
  for process in /proc/[0-9]*; do
    [ -e "$process/exe" ] || continue
    if [ $$ = 1 ]; then
      [ "$process/exe" -ef "$B" ] && continue
    else
      $B tr '\0' '\n' 2> /dev/null < "$process/environ" | $B grep -qxF "ANNEAL_COMMAND_OF=$root/" || continue
    fi
    read -r stat 2> /dev/null < "$process/stat" || continue
    set -- ${stat##*) }
    [ "$3" = "$child" ] || printf '%s ' "${process#/proc/}"
  done
}

signal_strays() { for stray in $(strays); do kill "-$1" "$stray" 2> /dev/null; done; }

is_left() { kill -0 "-$child" 2> /dev/null || [ -n "$(strays)" ]; }

# Tee is started again when somebody kills it: the command neither stops nor learns of it.
copy_output() {
  trap '' TERM INT USR1 USR2
  while :; do
    $B tee -a "$log" <&5
    [ $? -gt 128 ] || return 0
  done
}

# say TEXT: a line of ours, for the log.
say() { printf 'anneal: %s\n' "$1" > "$ctl/output"; }

# find_command COMMAND: its absolute path in $file, or why there is none in $refusal.
find_command() {
  refusal=''
  case $1 in
    */*)
      case $1 in /*) file=$1 ;; *) file=$root/code/$1 ;; esac
      if [ ! -e "$file" ]; then refusal="\"$1\" does not exist in the image or in code: of the step"; fi
      ;;
    *)
      file='' saved_ifs=$IFS IFS=:
      for folder in $PATH; do
        if [ -f "$folder/$1" ] && [ -x "$folder/$1" ]; then
          file=$folder/$1
          break
        fi
      done
      IFS=$saved_ifs
      [ -n "$file" ] || refusal="\"$1\" is not on the PATH of the image ($PATH)"
      ;;
  esac
  [ -n "$refusal" ] || why_not_runnable "$1"
}

why_not_runnable() {
  if [ ! -f "$file" ]; then
    refusal="\"$1\" is not a file"
  elif [ ! -x "$file" ]; then
    refusal="\"$1\" is not executable (chmod +x)"
  elif [ "$($B head -c 2 "$file")" = '#!' ]; then
    read -r first < "$file"
    first=${first#'#!'}
    carriage_return=$(printf '\r')
    set -- "$1" ${first}
    case $first in
      *"$carriage_return") refusal="\"$1\" has Windows line ends, so that its first line names no program (save it with LF line ends)" ;;
      *) [ -z "$2" ] || [ -e "$2" ] || refusal="\"$1\" needs $2, which does not exist in the image (its first line, #!, names it)" ;;
    esac
  fi
}

# Class and machine of an ELF file, as hexadecimal bytes; of others nothing.
machine_of() {
  set -- $($B od -An -tx1 -N20 "$1" 2> /dev/null)
  [ "$1$2$3$4" = 7f454c46 ] && printf '%s' "$5 ${19} ${20}"
}

# After a shell's exit codes for what cannot be run: whether it was that.
explain_end() {
  case $code in 2 | 126 | 127) ;; *) return 0 ;; esac
  kind=$(machine_of "$file")
  if [ -n "$kind" ] && [ "$kind" != "$(machine_of /proc/self/exe)" ]; then
    put refused "\"$1\" is made for another kind of machine"
  elif [ -n "$kind" ] && [ "$($B tail -n 1 "$log")" = "setsid: can't execute '$file': No such file or directory" ]; then
    put refused "\"$1\" needs a loader or libraries that the image does not have"
  fi
}

# How often the kernel has killed for lack of memory here; nothing where it does not say.
memory_kills() {
  for events in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r "$events" ] || continue
    while read -r name count; do [ "$name" != oom_kill ] || printf '%s' "$count"; done < "$events"
    return 0
  done
}

run_command() {
  find_command "$1"
  if [ -n "$refusal" ]; then
    put refused "$refusal"
    say "its command $refusal"
    code=127
    return 0
  fi
  kills_before=$(memory_kills)
  name=$1
  shift
  (
    exec 3>&- 4>&-
    export ANNEAL_COMMAND_OF="$root/"
    cd "$root/code" && exec $B setsid "$file" "$@"
  ) < /dev/null > "$ctl/output" 2>&1 &
  child=$!
  [ -z "$stopping" ] || terminate
  if [ -n "$ANNEAL_TIMEOUT" ]; then
    after "$ANNEAL_TIMEOUT" USR1
    timer=$!
  fi
  if [ -n "$ANNEAL_COMMANDS_DIR" ]; then
    pass_signals
    passer=$!
  fi
  wait_for_command
  explain_end "$name"
  kills=$(memory_kills)
  [ -z "$kills_before$kills" ] || put memory-kills "$((${kills:-0} - ${kills_before:-0}))"
}

# Does what the agent asks by ctl/signal: sends the command SIGUSR1, which would end one that does not handle it.
pass_signals() {
  (
    exec 3>&- 4>&- > /dev/null 2>&1
    while $B sleep 0.5 && kill -0 "$child"; do
      [ -f "$ctl/signal" ] && handles_usr1 || continue
      $B rm -f "$ctl/signal"
      kill -USR1 "$child"
    done
  ) &
}

# Bit 9 of the signals that a process handles, as the kernel says it.
handles_usr1() {
  while read -r name mask; do
    [ "$name" != SigCgt: ] || return $((0x${mask#"${mask%???}"} & 0x200 ? 0 : 1))
  done < "/proc/$child/status"
  return 1
}

wait_for_command() {
  # A trap interrupts the wait; what it waits for is then waited for again.
  while :; do
    wait "$child" 2> /dev/null
    code=$?
    kill -0 "$child" 2> /dev/null || break
  done
  ended=1
  wait "$child" 2> /dev/null
  again=$?
  [ "$again" = 127 ] || code=$again
  # Told to end, its children may be saving what they have; else nothing may go on beside the upload.
  if [ -n "$stopping" ]; then
    waits=$((${grace%.*} * 10))
    while [ "$waits" -gt 0 ] && is_left; do
      $B sleep 0.1
      waits=$((waits - 1))
    done
  fi
  end_helpers
  waits=50
  while [ "$waits" -gt 0 ] && is_left; do
    kill_all
    $B sleep 0.1
    waits=$((waits - 1))
  done
}

# Whether one of them was still there.
end_helpers() {
  there=1
  for helper in $killer $timer $passer; do kill -TERM "$helper" 2> /dev/null && there=0; done
  return "$there"
}

# A shell that was only just forked loses a signal: it comes with this one's traps, then forgets them.
see_helpers_end() {
  waits=250
  while end_helpers && [ "$waits" -gt 0 ]; do
    $B sleep 0.02
    waits=$((waits - 1))
  done
}

$B rm -f "$ctl/alive" "$ctl/output" "$ctl/exit" "$ctl/ended-by" "$ctl/refused"
$B mkfifo -m 600 "$ctl/alive" "$ctl/output" || exit 125
# Open to read and write, so that neither waits for the other side. Nobody else may hold the first: its end is the end of this shell.
exec 3<> "$ctl/output" 4<> "$ctl/alive" 5< "$ctl/output"
put started 1
(
  exec 3>&- 4>&- 2> /dev/null
  copy_output
) &
pump=$!
exec 5<&-
# A node that was pulling the image starts this although the attempt has ended meanwhile.
[ ! -e "$ctl/over" ] || stop signal
if [ -n "$stopping" ]; then code=143; else run_command "$@"; fi
ended=1

# The log is whole before the exit code is there.
exec 3>&-
waits=250
while kill -0 "$pump" 2> /dev/null && [ "$waits" -gt 0 ]; do
  $B sleep 0.02
  waits=$((waits - 1))
done
if ! put exit "$code"; then
  # A full disk: what the command has no more use for makes room.
  $B rm -rf "$root/tmp" "$root/home"
  put exit "$code" || exit "$code"
fi
see_helpers_end
until [ -e "$ctl/done" ]; do $B sleep 0.2 || exit 97; done
read -r answer < "$ctl/done"
[ "$answer" = 0 ] || exit 97
exit "$code"
