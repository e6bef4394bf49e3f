#!/bin/bash
# run.sh over programs that are stand-ins: each kind of end has its line, and the rest goes on.
set -u
here=$(cd "$(dirname "$0")" && pwd)
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
mkdir "$bundle/bin" "$bundle/lib"
cp "$here/run.sh" "$bundle/"
for program in gpu_facts bench_cuda bench_embed compute_operations_test; do
  printf '#!/bin/sh\necho "no device: a stand-in"\nexit 77\n' >"$bundle/bin/$program"
  chmod +x "$bundle/bin/$program"
done
echo GLIBC_2.2 >"$bundle/glibc.txt"
{
  printf 'hangs\t1\tsleep 60\n'
  printf 'dies\t5\tbash -c "kill -SEGV \\$\\$"\n'
  printf 'fails\t5\tbash -c "echo a reason; exit 3"\n'
  printf 'skips\t5\techo "[  SKIPPED ] of one"\n'
  printf 'works\t5\techo "total   12.50 ms an image"\n'
} >"$bundle/tests.tsv"
TESSERA_PYTHON=/nonexistent TESSERA_GPU_SECONDS=120 "$bundle/run.sh" "$bundle/out" >"$bundle/said" 2>&1
status=$?
wrong=0
expect() { grep -qE "$1" "$bundle/out/table.txt" || { echo "no line like: $1"; wrong=1; }; }
expect '^facts +no device .*a stand-in'
expect '^hangs +hung .*ended after 1 s'
expect '^dies +FAILED 139 .*signal 11'
expect '^fails +FAILED 3 .*a reason'
expect '^skips +skipped'
expect '^works +ok .*total +12.50 ms an image'
expect '^textures +no device'
expect '^base.f32 +no device'
[[ $status == 1 ]] || { echo "exit status $status; expected 1"; wrong=1; }
[[ -f $bundle/out/machine.txt ]] || { echo "no machine.txt"; wrong=1; }
((wrong == 0)) || cat "$bundle/said"
exit $wrong
