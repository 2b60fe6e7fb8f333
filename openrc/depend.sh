# shellcheck shell=sh disable=SC2154,SC3013,SC3043
#
# The dependencies of a service with netns, vrf or netns_lock: the drop-in reads this
# file in the middle of gendepends.sh, where conf.d says so.

_netns_depend()
{
	case "$netns" in
	"" | */* | *[!A-Za-z0-9._-]*) ;;
	*)
		# The script may be a local one, in another directory.
		if [ -e "$_dir/netns.$netns" ] || [ -e "/etc/init.d/netns.$netns" ]; then
			need "netns.$netns"
		else
			after ifstate networking
		fi
		;;
	esac
	# Where OpenRC no longer goes the way that the drop-in relies on, the service
	# would start outside. It must not start at all then, and this is the one place
	# to see to it.
	if ! _netns_ask; then
		eerror "$RC_SVCNAME: this OpenRC starts services in a way that openrc-netns does not know"
		need netns-unsupported-by-this-openrc
	fi
}

# (Of the programs that work out dependencies not all set RC_PATH.)
_netns_ask()
{
	local answer=''
	answer="$(OPENRC_NETNS_PROBE=yes RC_PATH="${RC_PATH:-/etc}" "${0%/*}/openrc-run.sh" "$_dir/$RC_SVCNAME" describe 2>/dev/null 3>&-)"
	[ "$answer" = openrc-netns ]
}

_netns_version=v1
