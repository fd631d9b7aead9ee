# Completion of mmscope for fish.  Verbs and options are asked of the program
# itself, so that they are never older than it.

function __mmscope_verbs
	set -l program (commandline -opc)[1]
	$program --help 2>/dev/null | string replace -rf '^  ([a-z]+) +([a-z].*)' '$1\t$2'
end

# The words of the verb; none after the -- of `run`, and not before the verb.
function __mmscope_in_verb
	set -l words (commandline -opc)
	test (count $words) -gt 1; and not contains -- -- $words
end

function __mmscope_in_command
	contains -- -- (commandline -opc)
end

# What is completed after -- is a command line of its own.
function __mmscope_command
	set -l words (commandline -opc) (commandline -ct)
	set -l mark (contains -i -- -- $words)
	complete -C (string join -- ' ' $words[(math $mark + 1)..-1])
end

function __mmscope_options
	set -l words (commandline -opc)
	$words[1] $words[2] --help 2>/dev/null | string match -r -a -- '--[a-z][a-z-]*' | sort -u
end

# The value of an option that is one of a few words: --format text|json.
function __mmscope_choices
	set -l words (commandline -opc)
	string match -q -- '--*' $words[-1]; or return
	$words[1] $words[2] --help 2>/dev/null |
		string replace -rf "^ .*$words[-1] ([a-z0-9]*\|[a-z0-9|]*).*" '$1' | string split '|'
end

complete -c mmscope -n 'test (count (commandline -opc)) -eq 1' -f -a '(__mmscope_verbs)'
complete -c mmscope -n 'test (count (commandline -opc)) -eq 1' -f -a '--help --version'
complete -c mmscope -n '__mmscope_in_verb; and count (__mmscope_choices) >/dev/null' -f -a '(__mmscope_choices)'
complete -c mmscope -n '__mmscope_in_verb; and string match -q -- "-*" (commandline -ct)' -f -a '(__mmscope_options)'
complete -c mmscope -n __mmscope_in_command -a '(__mmscope_command)'
