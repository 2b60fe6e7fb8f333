# shellcheck shell=sh disable=SC1090,SC2034,SC2154,SC2317,SC3013,SC3043
#
# Services in network namespaces and VRFs. The drop-in, 50-netns.conf, reads
# this file in the middle of openrc-run.sh, if conf.d, the init script or the
# record of a start asks for it. The process becomes openrc-netns-hook, which
# enters the namespace and starts openrc-run.sh over inside. No part of the init
# script has run before that.

_netns_hook=/usr/sbin/openrc-netns-hook
_netns_share=/usr/share/openrc-netns

# The settings, in the order in which they are compared and passed on.
_netns_names="netns vrf netns_etc netns_hide netns_lock netns_keep_caps"

# conf.d may leave anything in IFS.
_netns_ifs=' 	
'

# What the hook left for the process that it started over. It is for this
# process alone; no child and no other service may mistake it for its own. With
# rc_env_allow="*" anybody's environment comes this far, with the same in it: the
# proof is the path by which the hook starts openrc-run.sh over, which OpenRC,
# compiled with another spelling of it, does not use.
_netns_inside='' _netns_cgroup='' _netns_notice='' _netns_where='' _netns_action='' _netns_known='' _netns_lost='' _netns_ready='' _netns_answered=''
case "$0:$OPENRC_NETNS_ENTERED" in
/./*:"$$ "*)
	_netns_inside="${OPENRC_NETNS_ENTERED#* }"
	_netns_cgroup="$OPENRC_NETNS_CGROUP"
	_netns_notice="$OPENRC_NETNS_NOTICE"
	_netns_where="$OPENRC_NETNS_WHERE"
	;;
esac
unset OPENRC_NETNS_ENTERED OPENRC_NETNS_CGROUP OPENRC_NETNS_NOTICE OPENRC_NETNS_WHERE

# The checks of the drop-in, from now on.
_netns_look()
{
	_netns_check
}

_netns_look_again()
{
	[ -z "$OPENRC_NETNS_PROBE" ] || _netns_answer_probe script
	_netns_check_script
	_netns_keep_settings
	_netns_look_late()
	{
		_netns_check_late
	}
}

# Read another file of the library. Without it nothing starts.
_netns_need()
{
	! _netns_read "$_netns_share/$1" || return 0
	[ -n "$_netns_action" ] || _netns_read_action
	if [ "$_netns_lost" != "$1" ]; then
		eerror "$RC_SVCNAME: $_netns_share/$1 is missing or of another version than the drop-in, install openrc-netns again"
		_netns_lost="$1"
	fi
	if [ "$_netns_action" = start ] || _netns_restarting; then
		exit 1
	fi
	return 1
}

# Do the settings ask for a lock?
_netns_locked()
{
	local netns='' vrf=''
	_netns_asked
}

# Is the caller where this service, which asks for nothing, does not belong? With
# netns_inherit it belongs wherever it is started from. The hook refuses words
# that are not valid.
_netns_stray()
{
	case "$netns_inherit" in
	[Yy][Ee][Ss] | [Oo][Nn] | [Tt][Rr][Uu][Ee] | 1) return 1 ;;
	esac
	_netns_away
}

# Go where the service belongs, unless this process is already there.
_netns_check()
{
	local line='' IFS="$_netns_ifs"
	if [ -n "$OPENRC_NETNS_PROBE" ] && [ -z "$_netns_answered" ]; then
		_netns_answered=yes
		_netns_answer_probe conf
	fi
	[ -n "$_netns_inside" ] || _netns_check_name
	if [ -z "$_netns_inside" ] && ! _netns_asked &&
		[ ! -e "$RC_SVCDIR/options/$RC_SVCNAME/netns" ] && ! _netns_stray; then
		return 0
	fi
	[ -n "$_netns_action" ] || _netns_read_action
	case "$_netns_action" in
	depend | describe) return 0 ;;
	"") return 0 ;; # OpenRC refuses it, in its own words
	start)
		# The record of an earlier start means nothing, unless this is
		# the rest of that start.
		[ -n "$_netns_inside" ] || _netns_asked || _netns_stray || _netns_resuming || return 0
		;;
	esac
	if _netns_asked && [ "$RC_SERVICE" -ef "${RC_SERVICE%/*}/netns" ]; then
		_netns_need maker.sh || exit 1
		_netns_stay_out
		[ -n "$_netns_inside" ] || _netns_asked || _netns_stray || return 0
	fi
	[ -n "$_netns_inside" ] || _netns_enter
	_netns_look_at_lsb
	# Before the script is read: what checks it has to be there.
	if [ -z "$_netns_ready" ] && _netns_need script.sh; then
		_netns_ready=yes
		_netns_check_place
	fi

	# Alpine's OpenRC puts this before start-stop-daemon: ip netns exec. It
	# would enter a second time, and lose everything that is mounted below
	# /sys.
	RC_VRF_EXEC=
	if [ -n "$_netns_where" ]; then
		einfo "$RC_SVCNAME: $_netns_where"
		_netns_where=
	fi
	if [ -n "$_netns_notice" ]; then
		while IFS='' read -r line; do
			ewarn "$RC_SVCNAME: $line"
		done <<-EOF
			$_netns_notice
		EOF
		_netns_notice=
	fi
}

# OpenRC takes a name apart at its blanks, and takes it for a pattern (0.45 and 0.56
# do not). It reads the conf.d files of what comes of that, and none of the name
# itself: what they would have set here must be what is set.
_netns_check_name()
{
	local file='' known='' refusal=''
	# shellcheck disable=SC2086
	set -- ${RC_SVCNAME%%.*} $RC_SVCNAME
	[ "$#:$*" != "2:${RC_SVCNAME%%.*} $RC_SVCNAME" ] || return 0
	[ -n "$_netns_action" ] || _netns_read_action
	if _netns_restarting; then
		refusal="not stopped, because the start would fail: "
	elif [ "$_netns_action" != start ]; then
		return 0
	fi
	_netns_settings
	known="$_netns_now"
	if ! (
		for file in "${RC_SVCNAME%%.*}" "$RC_SVCNAME"; do
			file="${RC_SERVICE%/init.d/*}/conf.d/$file"
			[ ! -e "$file.$RC_RUNLEVEL" ] || file="$file.$RC_RUNLEVEL"
			[ ! -e "$file" ] || . "$file" >/dev/null || exit 1
		done
		_netns_settings
		[ "$_netns_now" = "$known" ]
	); then
		eerror "${RC_SVCNAME%%
*}: ${refusal}this OpenRC does not read the conf.d file of such a name: rename the service and the file, without blanks and *?["
		exit 1
	fi
}

# The action is the last argument of openrc-run.sh, which a function cannot see.
# The read of all shells drops the NULs between the arguments. (A service may
# have a newline in its name.)
_netns_read_action()
{
	local line='' lines=''
	while IFS='' read -r line; do
		lines="$lines$line
"
	done </proc/self/cmdline
	_netns_action="$lines$line"
	case "$_netns_action" in
	*"$0$RC_SERVICE"*) _netns_action="${_netns_action#*"$0$RC_SERVICE"}" ;;
	*)
		eerror "$RC_SVCNAME: cannot tell the action from /proc/self/cmdline"
		exit 1
		;;
	esac
}

# The current settings, in a form that is private to this file: it goes to the
# hook and comes back, to be compared.
_netns_settings()
{
	local name='' value=''
	_netns_now=
	for name in $_netns_names; do
		eval "value=\$$name"
		_netns_now="$_netns_now
$name=$value"
	done
}

_netns_keep_settings()
{
	local IFS="$_netns_ifs"
	_netns_settings
	_netns_known="$_netns_now"
}

# Was this process let in because of the record, or brought home, with settings
# that ask for nothing?
_netns_unasked()
{
	case "$_netns_inside" in
	"unasked "*) return 0 ;;
	esac
	return 1
}

# Is this the stop of a restart?
_netns_restarting()
{
	case "$_netns_action $RC_CMD" in
	"stop restart" | "stop condrestart" | "stop conditionalrestart") return 0 ;;
	esac
	return 1
}

# Is this the rest of a start that left the service inactive? It belongs where
# the first part was, wherever the name leads now.
_netns_resuming()
{
	[ "$_netns_action" = start ] && [ -e "$RC_SVCDIR/wasinactive/$RC_SVCNAME" ] &&
		[ -e "$RC_SVCDIR/options/$RC_SVCNAME/netns" ]
}

# The program that binds sockets is attached to the service's own cgroup. OpenRC
# makes that, if it uses cgroups, and moves this process there; it does so again
# later, which changes nothing. The first function is for cgroup v2; an OpenRC
# without it has the second one do that.
_netns_set_cgroup()
{
	local mover=cgroup2_set_limits
	[ "$(command -v "$mover")" = "$mover" ] || mover=cgroup_add_service
	[ "$(command -v "$mover")" = "$mover" ] && "$mover"
}

# What the Go runtime obeys is for the service, and not for the hook, which needs
# one processor: the runtime starts fewer threads then.
_netns_for_hook()
{
	unset GODEBUG GOGC GOMEMLIMIT GOTRACEBACK
	export GOMAXPROCS=1
}

_netns_enter()
{
	local restart='' name='' value='' asked=unasked
	# Is this user another than that of process 1? (id(1) would be a fork.)
	if [ "$_netns_action" = status ] && [ ! -O /proc/1 ]; then
		ewarn "$RC_SVCNAME: only root can look inside its network namespace, this is what OpenRC knows"
		_status
		exit $?
	fi
	if [ ! -x "$_netns_hook" ]; then
		eerror "$RC_SVCNAME: cannot enter its network namespace: $_netns_hook is missing, install openrc-netns again"
		exit 1
	fi
	if _netns_restarting; then
		restart=--restart
	fi
	if [ "$_netns_action" = start ] && [ "$vrf$netns_lock" ]; then
		_netns_set_cgroup
	fi
	# openrc-run.sh is to start over in the environment that it was given,
	# not in what it and conf.d have made of it: PATH would grow. An
	# environment variable cannot contain NULs, so they are swapped with
	# newlines.
	OPENRC_NETNS_ENVIRON="$(tr '\000\n' '\n\001' <"/proc/$$/environ")"
	export OPENRC_NETNS_ENVIRON
	! _netns_asked || asked=asked
	_netns_settings
	set --
	for name in $_netns_names; do
		eval "value=\$$name"
		set -- "$@" "--$name" "$value"
	done
	set -- "$@" --netns_inherit "$netns_inherit"
	_netns_for_hook
	exec "$_netns_hook" exec --protocol v1 --service "$RC_SVCNAME" --action "$_netns_action" $restart \
		--token "$asked $_netns_now" "$@" -- "/.$0" "$RC_SERVICE" "$_netns_action"
	exit 1
}

# The last check before the script runs.
_netns_check_script()
{
	! _netns_need script.sh || _netns_check_script
}

# A function of the script, such as start_pre, may still set netns or vrf. It
# runs where the old settings led; the daemon must not be started there. All of
# OpenRC's own ways to start one (the script sets command) announce it.
_netns_check_late()
{
	local IFS="$_netns_ifs"
	_netns_settings
	[ "$_netns_now" != "$_netns_known" ] && _netns_asked || return 0
	[ -n "$_netns_action" ] || _netns_read_action
	[ "$_netns_action" = start ] || return 0
	_netns_refuse_late
}

_netns_refuse_late()
{
	eerror "$RC_SVCNAME: a function of the init script sets netns, vrf or a netns_ variable, which is too late: set it in /etc/conf.d/$RC_SVCNAME"
	exit 1
}

# A script with an LSB header is not sourced. OpenRC evaluates what lsb2rcconf
# makes of the header, and finally becomes the script: the last check goes
# between the two.
_netns_look_at_lsb()
{
	lsb2rcconf()
	{
		local header=
		header="$(command lsb2rcconf "$@")"
		[ -z "$header" ] || printf '%s\n_netns_check_script\n_netns_check_lsb\n' "$header"
	}
}

_netns_check_lsb()
{
	! _netns_need lsb.sh || _netns_check_lsb
}

# By s6_start, the earlier functions of the script have run. This matters to a
# service without settings too: what s6.sh keeps from a start with settings
# would be used again.
_netns_take_s6()
{
	if [ -z "$_netns_inside" ]; then
		command -v _s6_servicedir_create >/dev/null && [ -r "$_netns_share/supervisors.sh" ] || return 0
	fi
	s6_start()
	{
		_netns_need supervisors.sh
		_netns_start_s6
	}
}

# Somebody asks, with the action describe: whether this OpenRC calls sourcex, on which
# all this depends; or for variables, when conf.d has been read, or the script too.
_netns_answer_probe()
{
	[ -n "$_netns_action" ] || _netns_read_action
	[ "$_netns_action" = describe ] || return 0
	case "$OPENRC_NETNS_PROBE" in
	*[!A-Za-z0-9_\ ]*) ;;
	"settings "* | "script "*) _netns_answer "${OPENRC_NETNS_PROBE#* }" ;;
	*) echo openrc-netns ;;
	esac
	case "$1:$OPENRC_NETNS_PROBE" in
	"conf:script "*) ;;
	*) exit 0 ;;
	esac
}

# Each variable, with a NUL behind it: NAME=VALUE, or NAME if it is not set. (IFS may be
# anything, and the variables may be called like one of a function.)
_netns_answer()
{
	_netns_rest="$1 "
	printf 'openrc-netns\000'
	while [ -n "$_netns_rest" ]; do
		eval "printf '%s\000' \"${_netns_rest%% *}\${${_netns_rest%% *}+=\$${_netns_rest%% *}}\""
		_netns_rest="${_netns_rest#* }"
	done
	printf 'openrc-netns\000'
}

_netns_version=v1
