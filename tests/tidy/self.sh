#!/bin/sh
# Does each rule find what it is for? Plants one violation at a time in a small tree that is clean otherwise, and looks
# for it in what the rule says. Prints TAP.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
product=$(cd "$here/../.." && pwd)
. "$here/rules.sh"

SCRATCH=$(mktemp -d)
BUILD=$SCRATCH/tree/build
FIELDS_COMPILERS=${CC:-cc}
trap 'rm -rf "$SCRATCH"' EXIT
number=0 failed=0
: >"$SCRATCH/tap"

put() { # put FILE TEXT...: lines
    mkdir -p "$(dirname "$1")"
    file=$1
    shift
    printf '%s\n' "$@" >"$file"
}

tree() { # a tree that keeps every rule
    cd "$SCRATCH"
    rm -rf tree
    cp -r clean tree
    cd tree
}

make_clean() {
    mkdir -p "$SCRATCH/clean/build/src/probe" "$SCRATCH/clean/build/src/measure" "$SCRATCH/clean/build/src/store"
    cd "$SCRATCH/clean"
    put src/base/a.h '#ifndef OCULI_BASE_A_H' '#define OCULI_BASE_A_H' '#include <stddef.h>' 'size_t a(void);' '#endif'
    put src/base/a.c '#include "base/a.h"' '' 'size_t a(void) /* no malloc( here */' '{' '    return 1;' '}'
    put src/base/meson.build "static_library('base', 'a.c')"
    put src/server/s.c '#include "measure/type.h"' '#include "measure/x/settings.h"' 'extern int s;'
    put src/server/meson.build "static_library('server', 's.c')"
    for header in type x/settings; do
        name=$(echo "OCULI_MEASURE_${header}_H" | tr 'a-z/' 'A-Z_')
        put "src/measure/$header.h" "#ifndef $name" "#define $name" "#endif"
    done
    put docs/man/oculid.8 '.Dd November 21, 2026' '.Dt OCULID 8' '.Os' '.Sh NAME' '.Nm oculid' '.Nd the server'
    put meson.build "executable('oculid', 'm.c',"  "  install: true)" "executable('oculi-bench', 'm.c')" \
        "install_man(meson.root() / 'docs/man/oculid.8')"
    put README.md 'See [the page](docs/man/oculid.8) and [the web](https://example.net/).'
    put dev '#!/bin/sh' 'echo ok'
    put src/wire/field.h "$(cat "$product/src/wire/field.h")"
    for header in arena buf error; do put "src/base/$header.h" "$(cat "$product/src/base/$header.h")"; done
    echo 'int probe_it(void); int probe_it(void) { return 1; }' >p.c
    echo 'int main(void) { return 0; }' >m.c
    ${CC:-cc} -c p.c -o build/p.o && ${CC:-cc} m.c -o build/oculid
    for library in probe/libprobe measure/libmeasure_runners store/libstore; do ar cr "build/src/$library.a" build/p.o; done
    cp build/oculid build/oculi-agent
    cp build/oculid build/oculi
    rm p.c m.c build/p.o
}

result() { # result OK NAME
    number=$((number + 1))
    if [ "$1" = yes ]; then echo "ok $number - $2" >>"$SCRATCH/tap"; else
        failed=$((failed + 1))
        echo "not ok $number - $2" >>"$SCRATCH/tap"
        sed 's/^/# /' "$SCRATCH/found" >>"$SCRATCH/tap"
    fi
}

finds() { # finds RULE PATTERN: after planting
    "rule_$1" >"$SCRATCH/found" 2>&1 || :
    if grep -qE -- "$2" "$SCRATCH/found"; then result yes "$1 finds $2"; else result no "$1 finds $2"; fi
    tree
}

make_clean
tree
put src/server/api/api.c '    &a_kind,'
put src/server/kinds.c 'const struct object_kind a_kind = {0};' 'static const struct object_kind b_kind = {0};'
finds kinds 'no b_kind'
for rule in $RULES; do
    "rule_$rule" >"$SCRATCH/found" 2>&1 || :
    if [ -s "$SCRATCH/found" ]; then result no "$rule: a clean tree"; else result yes "$rule: a clean tree"; fi
done

put src/base/b.c '#include "wire/field.h"'; finds layers 'b\.c includes wire/field\.h'
put src/wire/b.c '#include "probe/ping.h"'; finds layers 'wire/b\.c includes probe'
put src/probe/b.c '  # include "wire/json.h"'; finds layers 'probe/b\.c includes wire'
put src/facts/b.c '#include "wire/json.h"'; finds layers 'facts/b\.c includes wire'
put src/server/b.c '#include "measure/runner.h"'; finds layers 'server/b\.c includes measure/runner\.h'
put src/server/api/b.c '#include "probe/ping.h"'; finds layers 'api/b\.c includes probe/ping\.h'
put src/store/b.c '#include "server/object.h"'; finds layers 'store/b\.c includes server'
put src/agent/b_test.c '#include "store/store.h"'; finds layers 'agent/b_test\.c includes store'
put src/measure/x/type.c '#include "probe/ping.h"'; finds layers 'type\.c includes probe'
put src/measure/x/settings.h '#include "measure/runner.h"'; finds layers 'settings\.h includes measure/runner'
put src/cli/b.c '#include "server/object.h"'; finds layers 'cli/b\.c includes server'
put lab/b.c '#include "store/store.h"'; finds layers 'lab/b\.c includes store'
put src/base/b.c '#include "../wire/field.h"'; finds layers 'name it from src'

put src/server/b.c 'void *p = malloc(3);'; finds memory 'b\.c:1'
put src/base/b.c '/* one' ' */ char *s = strdup (x);'; finds memory 'base/b\.c:2'
put lab/b.c 'if (getline(&line, &n, f))'; finds memory 'lab/b\.c:1'
put src/base/b.c 'sprintf(s, "x");'; finds calls 'b\.c:1'
put lab/b.c 'int n = atoi(s);'; finds calls 'b\.c:1'

mkdir -p src/base && awk 'BEGIN {for (i = 0; i < 801; i++) print "int x;"}' >src/base/b.c; finds sizes '801 lines'
awk 'BEGIN {print "int f(void)\n{"; for (i = 0; i < 74; i++) print "    x();"; print "}"}' >src/base/b.c
finds sizes 'a function of 76 lines'
put src/base/b.h '#pragma once'; finds guards 'b\.h is not guarded by OCULI_BASE_B_H'
put lab/b.h '#ifndef OCULI_B_H' '#define OCULI_B_H' '#endif'; finds guards 'OCULI_LAB_B_H'
put src/base/b.c 'int x; '; finds blanks 'blanks at the end'
printf 'int\tx;\n' >src/base/b.c; finds blanks 'a tab'
printf 'int x;\r\n' >src/base/b.c; finds blanks 'blanks at the end'
printf 'int x;' >src/base/b.c; finds blanks 'does not end with a newline'
put src/base/b.c "/* TO""DO: more */"; finds words 'b\.c:1'
put docs/b.md "This is not ""implemented yet."; finds words 'b\.md:1'
put packaging/b "cd /wo""rk/main"; finds words 'packaging/b:1'
put src/base/b_test.c 'int x;'; finds built 'b_test\.c is in no meson\.build'
put tests/b/b.c 'int x;'; finds built 'tests/b/b\.c is in no'
rm docs/man/oculid.8; finds manual 'oculid has no page'
put docs/man/b.1 '.Dd November 21, 2026' '.Dt B 1' '.Os' '.Sh NAME' '.Bl -nonsense'; finds manual 'b\.1'
sed -i /install_man/d meson.build; finds manual 'oculid\.8 is not installed'
put b.md 'See [it](docs/none.md).'; finds links 'docs/none\.md, which is not there'
put b.sh '#!/bin/sh' 'if true; then'; finds shell 'b\.sh'
put b.sh '#!/bin/bash' 'echo'; finds shell 'does not begin'
put b.sh '#!/bin/sh' '[[ a = b ]]'; finds shell 'b\.sh:2'
put src/base/b.h '#ifndef OCULI_BASE_B_H' '#define OCULI_BASE_B_H' 'size_t b(void);' '#endif'; finds headers 'b\.h'
put src/base/b.c 'int b(int i);' 'int b(int i) { return (int)sizeof("x" + i + (unsigned char)(i = i == 1)) + !"x"; }'; finds clang 'b\.c:2'
echo 'int probe_it(void); int probe_it(void) { return 1; } int main(void) { return 0; }' | ${CC:-cc} -x c - -o build/oculid
finds linked 'oculid contains probe_it'
rm build/src/probe/libprobe.a; finds linked 'is not built'
sed -i 's/(sizeof(char\[_Generic.*/0/' src/wire/field.h; finds fields 'takes FIELD_I32\(struct s, l,'
sed -i 's/\.help = (__VA_ARGS__)/.help = "" __VA_ARGS__/' src/wire/field.h; finds fields 'takes FIELD_I32\(struct s, i, "x", \(\), \)'
sed -i 's/#define FIELD_BYTES/#define FIELD_BITES/' src/wire/field.h; finds fields 'refuses FIELD_BYTES'

echo "1..$number"
cat "$SCRATCH/tap"
[ "$failed" = 0 ]
