# shellcheck shell=sh disable=SC1090,SC1091,SC2034,SC2154,SC2317,SC3013,SC3043
#
# Supervisors that start the daemon from a process of their own, outside: s6 and
# runit. service.sh reads this file if one of them is used, and defines what is
# not defined here.

# Quote a word for the command line of a shell.
_netns_quote()
{
	case "$1" in
	*[!A-Za-z0-9_./:@%+,=-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
	*) printf '%s' "$1" ;;
	esac
}

# The arguments of netns-exec before the command, to do what the settings say.
# This runs in a command substitution.
_netns_exec_words()
{
	local word=
	set -f
	if _netns_locked; then
		printf '%s ' --lock
		for word in $netns_keep_caps; do
			printf '%s ' --keep-cap "$(_netns_quote "$word")"
		done
	fi
	[ -z "$vrf" ] || printf '%s ' --vrf "$(_netns_quote "$vrf")"
	case "$netns_etc" in
	[Nn][Oo] | [Oo][Ff][Ff] | [Ff][Aa][Ll][Ss][Ee] | 0) printf '%s ' --no-etc ;;
	esac
	for word in $netns_hide; do
		printf '%s ' --hide "$(_netns_quote "$word")"
	done
	word="$netns"
	case "$netns" in
	-*) word="/run/netns/$netns" ;; # no option
	esac
	[ -z "$word" ] || printf '%s ' "$(_netns_quote "$word")"
	printf '%s' --
}

# The run script of a service directory is the user's own.
_netns_refuse_runit()
{
	eerror "$RC_SVCNAME: runit would start the daemon outside: remove the settings from conf.d, and start it in the run script with: exec netns-exec $(_netns_exec_words) COMMAND"
	exit 1
}

_netns_refuse_s6()
{
	eerror "$RC_SVCNAME: s6 would start the daemon outside: remove the settings from conf.d, and start it in ${s6_service_path:-/var/svc.d/${name:-$RC_SVCNAME}}/run with: exec netns-exec $(_netns_exec_words) COMMAND"
	exit 1
}

# The s6.sh of OpenRC 0.64 writes the run script from the variables that say
# what to start; that of 0.56 does not. If the daemon would not be started
# inside, the start is refused.
_netns_check_s6()
{
	local what=
	if ! command -v _s6_servicedir_create >/dev/null; then
		_netns_refuse_s6
	elif [ -z "$command" ] && [ -x "/var/svc.d/${name:-$RC_SVCNAME}/run" ]; then
		_netns_refuse_s6
	fi
	if [ -n "$chroot" ]; then
		eerror "$RC_SVCNAME: s6 would look for netns-exec below chroot=\"$chroot\": use supervisor=supervise-daemon"
		exit 1
	fi
	# It restarts a daemon that has died, and looks up the namespace again.
	case "$netns" in
	/proc/1/ns/net) ;;
	/proc/*)
		what="ip netns attach NAME PID"
		[ ! /sbin/ip -ef /bin/busybox ] || what="touch /run/netns/NAME && mount -o bind /proc/PID/ns/net /run/netns/NAME"
		eerror "$RC_SVCNAME: netns=\"$netns\" may be another process's when s6 starts the daemon again: give the namespace a name, with: $what"
		exit 1
		;;
	esac
	# It puts them on a line of execline, unquoted.
	what="$(_netns_exec_words)$command_user$_netns_cgroup"
	case "$what" in
	*[!A-Za-z0-9_./:@%+,=\ -]*)
		eerror "$RC_SVCNAME: s6 takes netns, vrf, netns_hide and command_user with letters, digits and _./:@%+,=- alone: use supervisor=supervise-daemon"
		exit 1
		;;
	esac
	case "$output_logger$error_logger" in
	*[\;\&\|\`]* | *\$\(* | *"
"*)
		eerror "$RC_SVCNAME: s6 would start part of its logger outside: give output_logger or error_logger one command"
		exit 1
		;;
	esac
}

# Have s6.sh do its work with other variables, and from scratch: it keeps what
# it wrote for a start, and would use it again after the settings have changed.
_netns_start_s6()
{
	local command="$command" command_user="$command_user" notify="$notify" exec='' \
		output_logger="$output_logger" error_logger="$error_logger"

	_netns_settings
	if [ -n "$_netns_inside" ] && [ "${_netns_inside#* }" != "$_netns_now" ]; then
		_netns_refuse_late
	fi
	if _netns_asked; then
		[ -n "$command" ] || _netns_refuse_s6
		_netns_check_s6
		exec="$(_netns_exec_words)"
		exec="${_netns_hook%/*}/netns-exec ${_netns_cgroup:+--cgroup $_netns_cgroup }$exec"
		# vrf or lock alone mean the host's network, wherever s6 runs.
		[ -n "$netns" ] || exec="${exec%--}/proc/1/ns/net --"
		case "$output_logger" in
		"" | auto) ;;
		*) output_logger="$exec $output_logger" ;;
		esac
		case "$error_logger" in
		"" | auto) ;;
		*) error_logger="$exec $error_logger" ;;
		esac
		# An abstract socket has to be made in the daemon's namespace.
		if [ "$notify" = socket:ready ]; then
			command="s6-notify-fd-from-socket $command"
			notify=fd:3
		fi
		# Only root can enter.
		command="$exec ${command_user:+s6-setuidgid $command_user }$command"
		command_user=
	fi
	_netns_forget_s6
	. "${0%/*}/s6.sh"
	if [ -n "$exec" ]; then
		_s6_servicedir_create()
		{
			. "${0%/*}/s6.sh"
			_s6_servicedir_create
			_netns_verify_s6
		}
	fi
	s6_start
}

# Remove what s6.sh keeps, if it was for other settings.
_netns_forget_s6()
{
	local dir="$RC_SVCDIR/s6-services/${name:-$RC_SVCNAME}" line=''
	[ -e "$dir/run" ] || return 0
	if ! _netns_asked; then
		while read -r line; do
			case "$line" in
			"\"${_netns_hook%/*}/netns-exec\" "*) break ;;
			esac
		done <"$dir/run"
		[ -n "$line" ] || return 0
	fi
	_s6_set_variables
	[ ! -L "$_service" ] || _s6_force_stop
	rm -rf -- "$dir"
}

# The run script is written, and not yet in use: does it do what it should?
_netns_verify_s6()
{
	local line='' last=''
	while read -r line; do
		last="$line"
	done <"$_servicedirs/$name/run"
	case "$last" in
	"\"${exec%% *}\" "*) return 0 ;;
	esac
	rm -rf -- "$_servicedirs/${name:?}"
	eerror "$RC_SVCNAME: this OpenRC uses s6 in a way that openrc-netns does not know: use supervisor=supervise-daemon"
	exit 1
}

_netns_version=v1
