# shellcheck shell=sh disable=SC2034,SC2154,SC2317,SC3013,SC3043
#
# The checks of a service inside: before its init script is read, when service.sh
# reads this file, and before that runs.

# The script is known, and this process is inside: the last check before it
# runs.
_netns_check_script()
{
	local IFS="$_netns_ifs"
	if _netns_unasked && [ "$_netns_action" = start ] && _netns_asked; then
		# It was brought home, but its script says that it belongs
		# elsewhere.
		_netns_inside=
	fi
	_netns_check
	[ "$supervisor" != s6 ] || _netns_take_s6
	[ -n "$_netns_inside" ] || return 0

	[ -z "$_netns_cgroup" ] || trap _netns_leave EXIT
	[ "$_netns_action" = start ] || _netns_restarting || return 0
	_netns_asked || return 0

	if [ "$_netns_action" = start ] && [ -n "$_netns_cgroup" ]; then
		_netns_set_cgroup
	fi
	_netns_settings
	if [ "$_netns_inside" != "asked $_netns_now" ]; then
		eerror "$RC_SVCNAME: the init script changes what conf.d says about netns, vrf or a netns_ variable: set it in one of the two"
		exit 1
	fi
	_netns_check_supervisor
	_netns_check_place
}

# If OpenRC uses no cgroups, one was made for the service; whoever leaves it last
# removes it.
_netns_leave()
{
	! _netns_confined || (_netns_for_hook && exec "$_netns_hook" leave --service "$RC_SVCNAME")
}

# Is this process where the hook says that it is? The kernel is asked, with the
# settings that the hook was given: some of them may be in the script, which is not
# read yet, or in netns_default.
_netns_check_place()
{
	local path='' line='' record="$RC_SVCDIR/options/$RC_SVCNAME/netns" start=''
	# shellcheck disable=SC2086
	local $_netns_names
	for line in $_netns_names; do
		path="${_netns_inside#*"
$line="}"
		eval "$line=\"\${path%%
*}\""
	done
	path="$netns"
	if [ "$_netns_action" = start ] && ! _netns_resuming; then
		start=yes
	elif [ -r "$record" ]; then
		{
			read -r line && read -r line && read -r line && IFS='' read -r path
		} <"$record"
	fi
	case "$path" in
	"") path=/proc/1/ns/net ;;
	/*) ;;
	*) path="/run/netns/$path" ;;
	esac
	if [ -z "$start" ]; then
		# The name may lead elsewhere by now, and the service is where it was.
		[ ! /proc/self/ns/net -ef /proc/1/ns/net ] || [ "$path" -ef /proc/1/ns/net ] ||
			_netns_astray "on the host's network, where it was not started"
		return 0
	fi

	case "$netns_keep_caps" in
	*[Ss][Yy][Ss]_[Aa]*) ;;
	*) ! _netns_locked || ! _netns_capable || _netns_astray "not locked in" ;;
	esac
	if [ "$_netns_cgroup" ]; then
		_netns_in_cgroup ||
			_netns_astray "OpenRC moved the service out of the cgroup that binds its sockets, $_netns_cgroup"
	elif [ "$vrf" ] || _netns_locked; then
		_netns_astray "in no cgroup that binds its sockets"
	fi
	case "$path" in
	/proc/*) ! _netns_locked || return 0 ;; # hidden by the lock
	esac
	[ "$path" -ef /proc/self/ns/net ] || [ "/var$path" -ef /proc/self/ns/net ] ||
		_netns_astray "network namespace \"${netns:-$path}\" went away during the start"
}

_netns_astray()
{
	_netns_leave
	eerror "$RC_SVCNAME: $1"
	exit 1
}

# Can this process, or what it executes, have CAP_SYS_ADMIN?
_netns_capable()
{
	local try='' name='' value=''
	# bash goes back to the end of each line, and the kernel may have written
	# longer numbers above by then: it may miss one.
	for try in 1 2 3 4 5 6 7 8 9; do
		while read -r name value; do
			[ "$name" != CapBnd: ] || break 2
		done </proc/self/status
	done
	[ $((0x${value:-ffffff} >> 21 & 1)) -ne 0 ]
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
