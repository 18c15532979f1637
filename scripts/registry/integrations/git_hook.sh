#!/bin/sh
# What Git's hooks run: hook NAME FOLDER [ARGUMENT...]. `registry hooks install` wrote it, `uninstall` removes it.
# It starts the copy of the tooling beside it, and nothing of the commit that is checked out.
name=${1%.legacy}
folder=$2
shift 2
set -f
home=${0%/*}
before=$folder/$name.before-registry # the hook that was there first: it runs first
python=@python@
case $python in /*) ;; *) python=$home/$python ;; esac

say() { echo "registry: $*" >&2; }

# Files of a commit where the tools keep their own: Git overwrites what it ignores, so a branch could bring them.
may_run() {
    brought=$(git ls-files -- @guarded@ | head -n 1)
    if [ -n "$brought" ]; then
        : >"$home/overwritten"
        say "this commit has a file in a folder of the tools, $brought: nothing was run"
        return 1
    fi
    if [ -e "$home/overwritten" ]; then
        say "a commit that was checked out had files in a folder of the tools"
        echo "  hint: delete .venv, .dvc/tmp and .dvc/cache, then: make setup" >&2
        return 1
    fi
    if [ ! -x "$python" ]; then
        say "the tooling is not installed: $python is missing"
        echo "  hint: make setup" >&2
        return 1
    fi
}

# Long work is visible in a program that shows the output of Git, and has no terminal.
run() { REGISTRY_PROGRESS=lines "$python" -I -S "$home/start.py" "$@"; }

# The command of Git that runs this hook, such as `reset`. Git itself expands aliases.
find_caller() {
    if [ -r "/proc/$PPID/cmdline" ]; then
        words=$(tr '\0' ' ' <"/proc/$PPID/cmdline")
    else
        words=$(ps -o args= -p "$PPID" 2>/dev/null)
    fi
    caller=
    # shellcheck disable=SC2086 # one word each
    set -- $words
    while [ $# -gt 1 ]; do
        shift
        case $1 in
        -c | -C | --git-dir | --work-tree | --namespace) shift ;;
        -*) ;;
        *) caller=$1 && break ;;
        esac
    done
    case $words in *" --abort"* | *" --skip"* | *" --quit"*) caller=abort ;; esac
}

pointers() { git ls-files -t --stage -- ':(top)*.dvc' ':(top)*/dvc.lock'; }

is_newer() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    newer=$(git ls-files -z -- ':(top)*.dvc' ':(top)*/dvc.lock' |
        xargs -0 sh -c '[ $# -eq 0 ] || find "$@" -newer "$0" 2>/dev/null' "$state/pointers")
    [ -n "$newer" ]
}

# Data follows where a pointer differs from those that it was last brought in line with. Most events end here.
follow() {
    unset GIT_INDEX_FILE
    state=$(git rev-parse --absolute-git-dir)/registry
    if [ ! -e "$state/earlier" ] && pointers | cmp -s - "$state/pointers" && ! is_newer; then
        return
    fi
    may_run && run checkout --hook
}

# The index was written by a command after which no other hook will run, or by one that another hook will follow.
# The work is left to the latter: an interrupt here would stop Git between the index and HEAD.
after_index() {
    find_caller
    case $caller in
    checkout | switch | restore | merge | pull | clone | worktree | commit | am) return ;;
    rebase | cherry-pick | revert | stash | sparse-checkout | abort) follow ;;
    *)
        if [ "$1" = 1 ]; then
            follow
        elif state=$(git rev-parse --absolute-git-dir)/registry && [ -e "$state/pointers" ]; then
            # Staged, and perhaps never committed: the data of these pointers is known to be data all the same.
            pointers | cmp -s - "$state/pointers" || pointers >>"$state/earlier"
        fi
        ;;
    esac
}

compare_tooling() {
    pin=$(git show HEAD:registry.yaml 2>/dev/null | sed -n 's/^  commit: //p')
    if [ "$pin" != "$(cat "$home/pin")" ]; then
        say "the tooling and the Git hooks are of another version than registry.yaml names"
        echo "  hint: make setup" >&2
        return
    fi
    old=$(git rev-parse --quiet --verify ORIG_HEAD:scripts/registry) || return
    new=$(git rev-parse --quiet --verify HEAD:scripts/registry) || return
    if [ "$old" = "$(cat "$home/tree")" ] && [ "$new" != "$old" ]; then
        say "the Git hooks still run the tooling from before this merge"
        echo "  hint: make setup" >&2
    fi
}

case $name in
pre-push)
    refs=$(cat)
    if [ -x "$before" ]; then
        printf '%s' "${refs:+$refs
}" | "$before" "$@" || exit
    fi
    [ -n "$refs" ] || exit 0
    may_run || exit 1
    printf '%s\n' "$refs" | run push --hook -- "$@"
    ;;
pre-commit)
    # pre-commit runs this hook itself where `pre-commit install` was called after it.
    [ -z "$PRE_COMMIT_RUNNING_LEGACY" ] || exit 0
    [ ! -x "$before" ] || "$before" "$@" || exit
    may_run || exit 1
    exec "$python" -I -m pre_commit hook-impl --config=.pre-commit-config.yaml --hook-type=pre-commit \
        --hook-dir="$folder" --skip-on-missing-config -- "$@"
    ;;
*)
    status=0
    if [ -x "$before" ]; then
        "$before" "$@"
        status=$?
    fi
    case $name in
    post-index-change) after_index "$@" ;;
    post-merge) follow && compare_tooling ;;
    *) follow ;;
    esac
    exit "$status"
    ;;
esac
