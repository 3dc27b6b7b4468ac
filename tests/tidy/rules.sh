#!/bin/sh
# The rules of the house as shell functions. Each looks at the tree in the current directory and prints one line for
# each violation; nothing printed means that the rule is kept. tidy.sh runs them over the product, self.sh over small
# trees with one planted violation each.

# All files of ours whose path matches one of the find(1) patterns.
files() {
    names=
    for pattern in "$@"; do names="$names -o -path ./$pattern"; done
    set -f
    # shellcheck disable=SC2086
    find . \( -name 'build*' -o -name node_modules -o -name .git -o -path ./var -o -name .cache \) -prune -o \
        -type f \( -false $names \) -print | LC_ALL=C sort
    set +f
}

# Source without comments and the text of strings, line by line with its place.
code() {
    for file in "$@"; do
        awk '{
            out = ""; n = length($0)
            for (i = 1; i <= n; i++) {
                c = substr($0, i, 1); two = substr($0, i, 2)
                if (comment) { if (two == "*/") { comment = 0; i++ } continue }
                if (quote != "") {
                    if (c == "\\") i++
                    else if (c == quote) { quote = ""; out = out c }
                    continue
                }
                if (two == "/*") { comment = 1; i++; continue }
                if (two == "//") break
                if (c == "\"" || c == "\047") quote = c
                out = out c
            }
            quote = ""
            if (out ~ /[^ \t]/) print FILENAME ":" FNR ": " out
        }' "$file"
    done
}

# A layer includes only what is below it (ARCHITECTURE.md). The server and the store know measure types by their
# tables alone: never a runner, never the probe engine; agents know no store.
rule_layers() {
    files '*.c' '*.h' | while read -r file; do
        dir=${file#./}
        case $dir in
        src/base/*) may=base ;;
        src/wire/*) may='base wire' ;;
        src/probe/*) may='base probe' ;;
        src/facts/*) may='base facts' ;;
        src/measure/*/type.c | src/measure/*/settings.h | src/measure/type.h | src/measure/types.c | src/measure/part.*)
            may='base wire measure-tables' ;;
        src/measure/*) may='base wire probe measure' ;;
        src/store/*) may='base wire store measure-tables' ;;
        src/server/*) may='base wire store server facts measure-tables' ;;
        src/agent/*) may='base wire probe facts measure agent' ;;
        src/endpoint/*) may='base wire probe facts measure agent endpoint' ;;
        src/cli/*) may='base wire probe facts measure cli' ;;
        lab/*) may='base wire probe facts measure agent lab' ;;
        *) continue ;;
        esac
        case $dir in *_fuzz.c) may="$may fuzz" ;; esac
        sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$file" | while read -r included; do
            case $included in
            ../*) echo "$file includes $included: name it from src/"; continue ;;
            */*) layer=${included%%/*} ;;
            *) continue ;;
            esac
            case " $may " in
            *" $layer "*) continue ;;
            *" measure-tables "*)
                case $included in
                measure/type.h | measure/part.h | measure/*/settings.h) continue ;;
                esac ;;
            esac
            echo "$file includes $included: it may know only $may"
        done
    done
}

# Memory comes from base/mem.c alone.
rule_memory() {
    # shellcheck disable=SC2046
    code $(files '*.c' '*.h') | grep -v '^\./src/base/mem\.c:' |
        grep -E '(^|[^A-Za-z0-9_])(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strdup|strndup|asprintf|vasprintf|getdelim|getline)[ ]*\(' || :
}

# Calls that cannot be bounded, or that mean something else than they seem to.
rule_calls() {
    # shellcheck disable=SC2046
    code $(files 'src/*.c' 'src/*.h' 'lab/*.c' 'lab/*.h' | grep -v test) |
        grep -E '(^|[^A-Za-z0-9_])(gets|sprintf|vsprintf|strcat|strcpy|strncpy|strtok|atoi|atol|atof|alloca|system|popen|tmpnam|mktemp|rand|srand)[ ]*\(' || :
}

# A file is a sitting, a function a screen; what is generated is neither.
rule_sizes() {
    # shellcheck disable=SC2046
    for file in $(files '*.c' '*.h' '*.sh' '*.ts' '*.svelte' dev); do
        head -n 1 "$file" | grep -q 'Do not edit\.$' && continue
        lines=$(wc -l <"$file")
        [ "$lines" -le 800 ] || echo "$file has $lines lines, more than 800"
    done
    # shellcheck disable=SC2046
    for file in $(files '*.c'); do
        awk '/^\{/ {start = FNR} /^\}/ && start {
            if (FNR - start + 1 > 75) print FILENAME ":" start ": a function of " FNR - start + 1 " lines, more than 75"
            start = 0
        }' "$file"
    done
}

# src/wire/field.h is guarded by OCULI_WIRE_FIELD_H, and api/api.h need not say api twice.
rule_guards() {
    files '*.h' | while read -r file; do
        name=$(echo "${file#./}" | sed 's|^src/||; s|[^A-Za-z0-9]|_|g' | tr '[:lower:]' '[:upper:]')
        short=$(echo "/${file#./}" | sed 's|/\([^/]*\)/\1\.h$|/\1.h|; s|^/src||; s|^/||; s|[^A-Za-z0-9]|_|g' | tr '[:lower:]' '[:upper:]')
        guard=$(grep -E '^#' "$file" | head -n 2 | tr '\n' ' ')
        case $guard in
        "#ifndef OCULI_$name #define OCULI_$name " | "#ifndef OCULI_$short #define OCULI_$short ") ;;
        *) echo "$file is not guarded by OCULI_$name" ;;
        esac
    done
}

# No tabs where blanks belong, no blanks at the end of a line, no carriage returns, a newline at the end.
rule_blanks() {
    tab=$(printf '\t') return=$(printf '\r')
    # shellcheck disable=SC2046
    set -- $(files '*.c' '*.h' '*.ts' '*.svelte' '*.css' '*.md' '*.sh' '*meson.build' '*.lab' dev .ci/run)
    [ $# -gt 0 ] || return 0
    grep -nE "( |$tab|$return)\$" "$@" /dev/null | sed 's/:[^:]*$/: blanks at the end/' || :
    for file in "$@"; do
        case $file in *.md | *.sh | */dev | */run) ;; *) grep -n "$tab" "$file" /dev/null | sed 's/\t.*/ a tab/' || : ;; esac
        [ -z "$(tail -c 1 "$file")" ] || echo "$file does not end with a newline"
    done
}

# Words that mark unfinished work, and places that exist on one machine only. (Spelled so that this file is clean.)
rule_words() {
    # shellcheck disable=SC2046
    set -- $(files '*.c' '*.h' '*.ts' '*.svelte' '*.css' '*.md' '*.sh' '*meson.build' '*.lab' '*.1' '*.5' '*.8' 'packaging/*' \
        dev .ci/run meson_options.txt)
    [ $# -gt 0 ] || return 0
    grep -nE '(^|[^A-Za-z0-9_])(TO[D]O|FIX[M]E|XX[X]|HA[C]K)([^A-Za-z0-9_]|$)' "$@" /dev/null || :
    grep -nE '[Nn]ot [i]mplemented|Co-[a]uthored|/wo[r]k/|/tmp/w[t]|/home/[a-z]+/|/ro[o]t/' "$@" /dev/null || :
}

# Every C file is named by the meson.build of its folder or of one above: what nobody builds nobody checks.
rule_built() {
    files 'src/*.c' 'lab/*.c' 'tests/*.c' 'bench/*.c' | while read -r file; do
        stem=$(basename "$file" .c)
        dir=$(dirname "$file")
        is_named=
        while :; do
            if [ -f "$dir/meson.build" ]; then
                for name in "$stem.c'" "'${stem%_test}'" "'${stem%_fuzz}'" "'$stem'"; do
                    ! grep -qF "$name" "$dir/meson.build" || is_named=1
                done
            fi
            case $dir in . | ./src | ./lab | ./tests | ./bench) break ;; esac
            dir=$(dirname "$dir")
        done
        [ -n "$is_named" ] || echo "$file is in no meson.build"
    done
}

# Every program that is installed has a manual page; every page is without errors and installed.
rule_manual() {
    find . -name 'build*' -prune -o -name meson.build -print | xargs cat 2>/dev/null | tr '\n' ' ' |
        grep -oE "executable\('[a-z-]+'[^)]*install: *true" | sed "s/executable('\([a-z-]*\)'.*/\1/" |
        while read -r program; do
            [ -f "docs/man/$program.1" ] || [ -f "docs/man/$program.8" ] || echo "$program has no page in docs/man"
        done
    for page in docs/man/*.[1-9]; do
        [ -f "$page" ] || continue
        mandoc -T lint -W error "$page" 2>&1 || :
        find . -name 'build*' -prune -o -name meson.build -print | xargs cat 2>/dev/null | tr '\n' ' ' |
            grep -oE 'install_man\(([^()]|\(\))*\)' | grep -qF "${page##*/}'" || echo "$page is not installed"
    done
}

# Links from one of our documents to another lead somewhere.
rule_links() {
    files '*.md' | while read -r file; do
        grep -oE '\]\([^)#]+' "$file" | sed 's/^](//' | while read -r target; do
            case $target in http://* | https://* | mailto:*) continue ;; esac
            [ -e "$(dirname "$file")/$target" ] || echo "$file links to $target, which is not there"
        done
    done
}

# Shell scripts are POSIX sh as far as a parser can tell.
rule_shell() {
    # shellcheck disable=SC2046
    for file in $(files '*.sh' dev .ci/run); do
        sh -n "$file" 2>&1 || :
        case $(head -n 1 "$file") in
        '#!/bin/sh' | '# '*) ;;
        *) echo "$file does not begin with #!/bin/sh" ;;
        esac
        grep -nE '^[ \t]*((if |while |until )?\[\[ |(function|local|source|declare) )' "$file" /dev/null || :
    done
}

# Every header compiles alone. BUILD holds the generated ones.
rule_headers() {
    flags="-std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Isrc -I. -Itests -I${BUILD:-build}/src/measure"
    files '*.h' | while read -r file; do
        # shellcheck disable=SC2086
        printf '#include "%s"\n' "$file" | ${CC:-cc} $flags -fsyntax-only -x c - 2>&1 | grep -E 'error|warning' || :
    done
}

# Both compilers take everything: the build uses one, here is the other.
rule_clang() {
    # shellcheck disable=SC2046
    clang -fsyntax-only -std=gnu17 -D_GNU_SOURCE -DOCULI_VERSION='"0"' -DOCULI_SOURCE_ROOT='"."' -Wall -Wextra -Wconversion -Wshadow -Wvla \
        -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wno-format-nonliteral \
        -Isrc -I. -Itests -I"$BUILD/src/measure" $(files '*.c') 2>&1 | grep -E 'error|warning' || :
}

# The server holds no code of the probe engine, the agent none of the store: what their libraries define is not there.
rule_linked() {
    for pair in oculid:probe/libprobe oculid:measure/libmeasure_runners oculi-agent:store/libstore oculi:store/libstore; do
        program=$BUILD/${pair%%:*} library=$BUILD/src/${pair#*:}.a
        [ -f "$program" ] && [ -f "$library" ] || { echo "$program or $library is not built"; continue; }
        nm -g --defined-only "$library" 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u >"$SCRATCH/library"
        nm --defined-only "$program" | awk 'NF == 3 {print $3}' | sort -u >"$SCRATCH/program"
        [ -s "$SCRATCH/library" ] && [ -s "$SCRATCH/program" ] || { echo "no symbols in $program or $library"; continue; }
        comm -12 "$SCRATCH/library" "$SCRATCH/program" | sed "s|^|$program contains |"
    done
}

fields_right() {
    cat <<'FIELDS'
FIELD_BOOL(struct s, b, "x", (), "Help")
FIELD_I32(struct s, i, "x", (.min = 1, .max = 2, .preset = "1"), "Help, with a comma")
FIELD_I64(struct s, l, "x", (), "Help")
FIELD_F64(struct s, f, "x", (.flags = FIELD_REQUIRED), "Help")
FIELD_STR(struct s, s, "x", (), "Help")
FIELD_ENUM(struct s, i, "x", words, (.preset = "a"), "Help")
FIELD_ID(struct s, u, "x", (), "Help")
FIELD_TIME(struct s, l, "x", (), "Help")
FIELD_RECORD(struct s, in, "x", &in_table, (), "Help")
FIELD_RECORD_PTR(struct s, ptr, "x", &in_table, (.expand = "e"), "Help")
FIELD_LIST(struct s, list, "x", &in_table, (), "Help")
FIELD_STRS(struct s, list, "x", (.words = words), "Help")
FIELD_IDS(struct s, list, "x", (), "Help")
FIELD_I64S(struct s, list, "x", (), "Help")
FIELD_BYTES(struct s, bytes, "x", (), "Help")
FIELDS
}

fields_wrong() {
    cat <<'FIELDS'
FIELD_BOOL(struct s, i, "x", (), "Help")
FIELD_I32(struct s, l, "x", (), "Help")
FIELD_I32(struct s, w, "x", (), "Help")
FIELD_I32(struct s, b, "x", (), "Help")
FIELD_I64(struct s, i, "x", (), "Help")
FIELD_I64(struct s, u, "x", (), "Help")
FIELD_F64(struct s, l, "x", (), "Help")
FIELD_STR(struct s, m, "x", (), "Help")
FIELD_STR(struct s, a, "x", (), "Help")
FIELD_ENUM(struct s, w, "x", words, (), "Help")
FIELD_ENUM(struct s, i, "x", words, (.words = words), "Help")
FIELD_ID(struct s, l, "x", (), "Help")
FIELD_TIME(struct s, i, "x", (), "Help")
FIELD_RECORD(struct s, ptr, "x", &in_table, (), "Help")
FIELD_RECORD(struct s, l, "x", &in_table, (), "Help")
FIELD_RECORD_PTR(struct s, in, "x", &in_table, (), "Help")
FIELD_LIST(struct s, bytes, "x", &in_table, (), "Help")
FIELD_STRS(struct s, s, "x", (), "Help")
FIELD_IDS(struct s, u, "x", (), "Help")
FIELD_I64S(struct s, l, "x", (), "Help")
FIELD_BYTES(struct s, list, "x", (), "Help")
FIELD_I32(struct s, i, "x", ())
FIELD_I32(struct s, i, "x", (), )
FIELD_STR(struct s, missing, "x", (), "Help")
FIELD_LIST(struct s, list, "x", &in_fields, (), "Help")
FIELDS
}

# A field whose kind disagrees with the member's type, or without help, does not compile; all right ones do.
rule_fields() {
    { fields_right; fields_wrong; } >"$SCRATCH/fields"
    right=$(fields_right | wc -l)
    for compiler in ${FIELDS_COMPILERS:-"${CC:-cc}" clang}; do
        command -v "$compiler" >/dev/null || { echo "$compiler is not installed"; continue; }
        # One line each; a compiler names the line of every error when it does not look into macros.
        flags=-ftrack-macro-expansion=0
        case $($compiler --version) in *clang*) flags=-ferror-limit=0 ;; esac
        {
            echo '#include "wire/field.h"'
            echo 'struct in { int32_t i; }; static const char *const words[] = {"a", NULL};'
            echo 'static const struct field in_fields[] = {FIELD_I32(struct in, i, "i", (), "A number")};'
            echo 'static const struct field_table in_table = FIELD_TABLE("In", struct in, in_fields, NULL, "One");'
            echo 'struct s { bool b; int32_t i; int64_t l; double f; const char *s; char *m; char a[8]; uint64_t u;'
            echo '    uint32_t w; struct in in; struct in *ptr; struct field_list list; struct field_bytes bytes; };'
            echo 'extern const void *const uses[]; const void *const uses[] = {words, &in_table};'
            echo '#line 1 "fields"'
            awk '{print "extern const struct field f" NR "[]; const struct field f" NR "[] = {" $0 "};"}' \
                "$SCRATCH/fields"
        } | $compiler $flags -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Isrc -fsyntax-only -x c - 2>&1 |
            sed -n 's/^fields:\([0-9]*\):.*error.*/\1/p' | sort -un >"$SCRATCH/refused"
        awk -v compiler="$compiler" -v right="$right" -v refusals="$SCRATCH/refused" '
            BEGIN {while ((getline line <refusals) > 0) refused[line] = 1}
            (NR in refused) != (NR > right) {print compiler ": " (NR in refused ? "refuses " : "takes ") $0}
        ' "$SCRATCH/fields"
    done
}

# Every kind of object that is stored is in the one list of them: what it misses would outlive its account group, and
# keep its old key when keys are rotated.
rule_kinds() {
    [ -f src/server/api/api.c ] || return 0
    # shellcheck disable=SC2046
    sed -n 's/^\(static \)\{0,1\}const struct object_kind \([a-z_0-9]*\) = .*/\2/p' $(files 'src/server/*.c') | while read -r kind; do
        grep -q "^    &$kind,$" src/server/api/api.c || echo "src/server/api/api.c: api_kinds has no $kind"
    done
}

RULES='layers memory calls sizes guards blanks words built manual shell links headers clang linked kinds fields'
