# shellcheck shell=sh disable=SC2034,SC2154,SC3013,SC3043
#
# The service of a network namespace, netns.NAME: service.sh reads this file if
# that has settings of its own.

# The service of a namespace runs on the host's network, whatever is set for it:
# such a setting is a mistake, and the start fails. It enters only for its
# netns_post_up and netns_pre_down, without a setting from a file.
_netns_stay_out()
{
	local name='' file='' why=''
	case "$_netns_action" in
	netns_post_up | netns_pre_down)
		netns="${RC_SVCNAME#netns.}" vrf='' netns_lock=''
		return 0
		;;
	esac
	for name in netns vrf netns_lock; do
		eval "[ -z \"\$$name\" ]" || break
	done
	for file in "$RC_SVCNAME.$RC_RUNLEVEL" "$RC_SVCNAME" "netns.$RC_RUNLEVEL" netns ""; do
		file="${RC_SERVICE%/init.d/*}/conf.d/$file"
		grep -Eqs "^([^#]*[^#[:alnum:]_])?$name=" "$file" && break
	done
	case "$file" in
	*/) file="rc.conf or the environment" ;;
	esac
	why="$name is set in $file, but this service makes a network namespace and runs on the host's network: remove it there"
	if _netns_restarting; then
		eerror "$RC_SVCNAME: not stopped, because the start would fail: $why"
		exit 1
	elif [ "$_netns_action" = start ]; then
		eerror "$RC_SVCNAME: $why"
		exit 1
	fi
	[ -n "$_netns_inside" ] || ewarn "$RC_SVCNAME: $why"
	netns='' vrf='' netns_lock=''
}

_netns_version=v1
