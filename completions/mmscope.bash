# Completion of mmscope for bash.  Verbs and options are asked of the program
# itself, so that they are never older than it.

_mmscope()
{
	local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} i
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "$("$program" --help 2>/dev/null | sed -n 's/^  \([a-z]\{1,\}\)  *[a-z].*/\1/p') --help --version" -- "$word"))
		return
	fi
	# After --, or after the first word of the command, it is the command's.
	if [ "${COMP_WORDS[1]}" = run ]; then
		for ((i = 2; i < COMP_CWORD; i++)); do
			if [ "${COMP_WORDS[i]}" = -- ]; then
				COMPREPLY=($(if [ $((i + 1)) -eq "$COMP_CWORD" ]; then compgen -c -- "$word"; else compgen -f -- "$word"; fi))
				return
			fi
		done
	fi
	local help
	help=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null)
	# The value of an option that is one of a few words: --format text|json.
	local choices
	choices=$(printf '%s\n' "$help" | sed -n "s/^ .*$before \([a-z0-9]*|[a-z0-9|]*\).*/\1/p" | tr '|' ' ')
	case $before in
	--*)
		if [ -n "$choices" ]; then
			COMPREPLY=($(compgen -W "$choices" -- "$word"))
			return
		fi
		;;
	esac
	case $word in
	-*) COMPREPLY=($(compgen -W "$(printf '%s\n' "$help" | grep -o -- '--[a-z][a-z-]*' | sort -u)" -- "$word")) ;;
	*) COMPREPLY=($(compgen -f -- "$word")) ;;
	esac
}

complete -o filenames -F _mmscope mmscope
