# shellcheck shell=sh disable=SC2034,SC2154,SC2317,SC3013,SC3043
#
# The last check of a service before its init script runs: service.sh reads this
# file when the whole script is known.

# The script is known, and this process is inside: the last check before it
# runs.
_netns_check_script()
{
	local path=''
	if _netns_unasked && [ "$_netns_action" = start ] && _netns_asked; then
		# It was brought home, but its script says that it belongs
		# elsewhere.
		_netns_inside=
	fi
	_netns_check
	[ "$supervisor" != s6 ] || _netns_take_s6
	[ -n "$_netns_inside" ] || return 0

	# If OpenRC uses no cgroups, one was made for the service; whoever
	# leaves it last removes it.
	if [ -n "$_netns_cgroup" ] && _netns_confined; then
		trap '(_netns_for_hook; exec "$_netns_hook" leave --service "$RC_SVCNAME")' EXIT
	fi
	[ "$_netns_action" = start ] || _netns_restarting || return 0
	_netns_asked || return 0

	if [ "$_netns_action" = start ] && [ -n "$_netns_cgroup" ]; then
		_netns_set_cgroup
		if ! _netns_in_cgroup; then
			eerror "$RC_SVCNAME: OpenRC moved the service out of the cgroup that binds its sockets, $_netns_cgroup"
			exit 1
		fi
	fi
	_netns_settings
	if [ "$_netns_inside" != "asked $_netns_now" ]; then
		eerror "$RC_SVCNAME: the init script changes what conf.d says about netns, vrf or a netns_ variable: set it in one of the two"
		exit 1
	fi
	_netns_check_supervisor
	[ "$_netns_action" = start ] && [ -n "$netns" ] || return 0
	_netns_resuming && return 0

	case "$netns" in
	/*) path="$netns" ;;
	*) path="/run/netns/$netns" ;;
	esac
	if [ ! "$path" -ef /proc/self/ns/net ] && [ ! "/var$path" -ef /proc/self/ns/net ]; then
		eerror "$RC_SVCNAME: network namespace \"$netns\" went away during the start"
		exit 1
	fi
}

# Is this process in the cgroup that binds its sockets?
_netns_in_cgroup()
{
	local line=
	while read -r line; do
		[ "$line" != "0::$_netns_cgroup" ] || return 0
	done <"/proc/$$/cgroup"
	return 1
}

# runit and s6 start the daemon outside, even if asked from inside. The script
# may still choose one of them in a function of its own.
_netns_check_supervisor()
{
	runit_start()
	{
		_netns_need supervisors.sh
		_netns_refuse_runit
	}
	_netns_take_s6
	case "$supervisor" in
	runit)
		_netns_need supervisors.sh
		_netns_refuse_runit
		;;
	s6)
		_netns_need supervisors.sh
		_netns_check_s6
		;;
	esac
}

_netns_version=v1
