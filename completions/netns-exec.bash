# shellcheck shell=bash disable=SC2154
#
# (_netns_words sets the variables of its callers.)
#
# Completion of netns-exec(8) and rc-netns(8) for bash, with bash-completion
# 2.11 or later. This file is installed under both names.
#
# Names are never passed to eval or to compgen -W, which would run what is
# quoted in them.

# The command line into words, cword and cur: names with a colon are one word.
_netns_words()
{
	if declare -F _comp_get_words >/dev/null; then
		_comp_get_words -n :=@ cur words cword
	else
		_get_comp_words_by_ref -n :=@ cur words cword
	fi
	# Between two words, bash 5.3 takes the blank before the cursor for a
	# word, and older ones take the word after it.
	[[ $cur == *[![:space:]]* ]] || cur=
	if [[ ! $cur && ${words[cword]-} ]]; then
		words=("${words[@]:0:cword}" "" "${words[@]:cword}")
	fi
}

# Complete from word $1, as if the command line began there.
_netns_command_line()
{
	local i='' raw=0 word=''
	if declare -F _comp_command_offset >/dev/null; then
		_comp_command_offset "$1"
		return
	fi
	# It counts words of COMP_WORDS, where colons are words.
	for ((i = 0; i < $1; i++)); do
		word=
		while [[ $word != "${words[i]}" ]]; do
			word+=${COMP_WORDS[raw++]}
		done
	done
	_command_offset "$raw"
}

# Take the quotes out of a word that may end within them, into REPLY.
_netns_unquote()
{
	case "$1" in
	\'*)
		REPLY=${1#\'}
		REPLY=${REPLY%\'}
		;;
	*)
		REPLY=$1
		[[ $1 != \"* ]] || REPLY=${REPLY#\"} REPLY=${REPLY%\"}
		# shellcheck disable=SC2162 # drop the backslashes
		[[ $REPLY != *\\* ]] || IFS='' read REPLY <<<"$REPLY"
		;;
	esac
}

# Offer the names that begin with what is typed in cur. Readline replaces what
# follows the last colon.
_netns_offer()
{
	local REPLY='' name='' typed='' done=''
	case "$cur" in
	\'* | \"*) ;;
	*)
		done=${cur//\\?/__}
		done=${done##*[:=@]}
		_netns_unquote "${cur:0:${#cur}-${#done}}"
		done=$REPLY
		;;
	esac
	_netns_unquote "$cur"
	typed=$REPLY
	for name; do
		[[ $name == "$typed"* && $name != *[[:cntrl:]]* ]] || continue
		COMPREPLY+=("${name:${#done}}")
		# Have bash quote it; it adds a slash to what it takes for a
		# directory.
		[[ $name != *[!A-Za-z0-9_.,+%:/-]* ]] || compopt -o filenames
	done
}

# Offer the files in a directory, except names that begin with a dash.
_netns_offer_files()
{
	local file='' names=()
	for file in "$1"/[!-]*; do
		[[ ! -e $file ]] || names+=("${file##*/}")
	done
	_netns_offer "${names[@]}"
}

# The first fields of a file such as /etc/passwd, each after $1.
_netns_offer_accounts()
{
	local name='' _='' names=()
	[[ -r $2 ]] || return 0
	while IFS=: read -r name _; do
		[[ ! $name ]] || names+=("$1$name")
	done <"$2"
	_netns_offer "${names[@]}"
}

# The services, or those that conf.d confines: netns-exec takes no others.
_netns_offer_services()
{
	local file='' name='' confs='' names=()
	if [[ $1 == confined ]]; then
		confs=/$(grep -lsE '^[[:blank:]]*(export[[:blank:]]+)?(netns|vrf|netns_lock)=' \
			/etc/conf.d/* /dev/null | tr '\n' '/')
	fi
	for file in /etc/init.d/[!-]*; do
		name=${file##*/}
		[[ -f $file && -x $file && $name != *.sh ]] || continue
		if [[ ! $confs || $confs == *"/conf.d/$name/"* || $confs == *"/conf.d/${name%%.*}/"* ]]; then
			names+=("$name")
		fi
	done
	_netns_offer "${names[@]}"
}

# The VRF devices of the network namespace $1, or of this one: those with the
# flags IFF_MASTER and IFF_NOARP (linux/if.h), which others have together only
# if somebody sets the latter.
_netns_offer_vrfs()
{
	local REPLY='' path='' names=()
	local -r look="grep -lsx '0x[0-9a-f]*[4-7c-f][89a-f][0-9a-f]' /sys/class/net/*/flags"
	while IFS= read -r path; do
		path=${path%/flags}
		names+=("${path##*/}")
	done < <(
		if [[ $1 ]]; then
			_netns_unquote "$1"
			netns-exec --no-etc "$REPLY" -- sh -c "$look"
		else
			eval "$look"
		fi </dev/null 2>/dev/null
	)
	_netns_offer "${names[@]}"
}

_netns_exec()
{
	local cur='' cword=0 i=1 word='' words=()
	# What the cursor is at: the value of an option, or an operand. Where
	# the command begins. What was given before, or even after for the VRF.
	local at='' command='' option='' service='' netns=''

	COMPREPLY=()
	_netns_words
	for ((i = 1; i < ${#words[@]}; i++)); do
		word=${words[i]}
		if [[ $option ]]; then
			((i != cword)) || at=$option
			[[ $option != service ]] || service=yes
			option=
			continue
		fi
		if ((i == cword)); then
			case "$word" in
			--*=*)
				at=${word%%=*}
				at=${at#--}
				cur=${cur#*=}
				continue
				;;
			-*) at=option ;;
			*) at=operand ;;
			esac
			break
		fi
		case "$word" in
		--)
			command=$((i + 1))
			break
			;;
		--service=*) service=yes ;;
		--service | --user | --hide | --vrf | --keep-cap | --cgroup) option=${word#--} ;;
		--*) ;;
		-?*)
			# Of the short options, these two have a value.
			word=${word#"${word%%[su]*}"}
			case "$word" in
			s) option=service ;;
			u) option=user ;;
			s*) service=yes ;;
			esac
			;;
		*)
			if [[ $service ]]; then
				command=$i
			else
				netns=$word
				command=$((i + 1))
				if [[ ${words[i + 1]-} == -- ]] && ((i + 1 < cword)); then
					command=$((i + 2))
				fi
			fi
			break
			;;
		esac
	done
	[[ $at != operand || ! $service ]] || command=$cword

	case "$at" in
	service) _netns_offer_services confined ;;
	user)
		case "$cur" in
		*:*) _netns_offer_accounts "${cur%%:*}:" /etc/group ;;
		*) _netns_offer_accounts "" /etc/passwd ;;
		esac
		;;
	hide) compopt -o default ;;
	cgroup) ;;
	keep-cap)
		_netns_offer bpf checkpoint_restore dac_read_search mknod net_admin perfmon sys_admin sys_boot \
			sys_module sys_ptrace sys_rawio
		;;
	vrf) [[ $service ]] || _netns_offer_vrfs "$netns" ;;
	option)
		_netns_offer --service --user --caller --no-etc --hide --vrf --lock --keep-cap --cgroup --dry-run --help --version \
			-s -u -n -h -V
		;;
	*)
		if [[ $command ]]; then
			if [[ $cur == -* ]] && ((cword == command)) && [[ ${words[cword - 1]} != -- ]]; then
				_netns_offer --
			else
				_netns_command_line "$command"
			fi
		elif [[ $cur == */* ]]; then
			compopt -o default
		else
			_netns_offer_files /run/netns
		fi
		;;
	esac
}

_rc_netns()
{
	local cur='' cword=0 words=() file='' names=()

	COMPREPLY=()
	_netns_words
	if ((cword == 1)); then
		case "$cur" in
		-*) _netns_offer --help --version -h -V ;;
		*) _netns_offer status check egress grant repair settings up down ;;
		esac
		return
	fi
	case "${words[1]} $cur" in
	"status -"*) _netns_offer --json --watch ;;
	"check -"*) _netns_offer --json ;;
	"egress -"*) _netns_offer --json ;;
	"repair -"*) _netns_offer --dry-run --quiet ;;
	"settings -"*) _netns_offer --null ;;
	"grant "*)
		if ((cword == 2)); then
			_netns_offer_accounts "" /etc/passwd
		else
			_netns_offer_files /run/netns
		fi
		;;
	"status "* | "check "* | "egress "* | "repair "* | "settings "*) _netns_offer_services all ;;
	"up -"*) _netns_offer --interface --wireguard --veth --config --routes --dns --sysctl --dry-run ;;
	"down -"*) _netns_offer --restart ;;
	"up "* | "down "*)
		case "${words[cword - 1]}" in
		--interface)
			_netns_offer_files /sys/class/net
			return
			;;
		--wireguard)
			compopt -o default
			return
			;;
		--veth | --config | --routes | --dns | --sysctl) return ;;
		esac
		_netns_offer_files /run/netns
		for file in /etc/init.d/netns.*; do
			[[ ! -e $file ]] || names+=("${file#/etc/init.d/netns.}")
		done
		_netns_offer "${names[@]}"
		;;
	esac
}

complete -F _netns_exec netns-exec
complete -F _rc_netns rc-netns
