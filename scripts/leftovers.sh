# Sourced: clear_leftovers DIR frees the mounts and ends the processes that specs left behind below a directory, and
# says so.

clear_leftovers() {
  local base=$1/ dir pid
  while read -r dir; do
    echo "left behind: a mount on $dir"
    umount -c -f -l "$dir" 2>/dev/null || fusermount3 -uz "$dir" 2>/dev/null
  done < <(awk -v base="$base" 'index($5, base) == 1 { print $5 }' /proc/self/mountinfo | tac)
  # The pattern comes from a file, or grep would find itself.
  for pid in $(grep -lsFf <(echo "$base") /proc/[0-9]*/cmdline | cut -d/ -f3); do
    echo "left behind: process $pid"
    kill -KILL "$pid" 2>/dev/null
  done
}
