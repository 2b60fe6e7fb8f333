# shellcheck shell=sh disable=SC2154,SC3013,SC3043
#
# The dependencies of a service with netns, vrf or netns_lock: the drop-in reads
# this file in the middle of gendepends.sh, if conf.d sets one of them.

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
	# If OpenRC no longer works in the way that the drop-in relies on, the
	# service would start outside. It must not start at all then, and this
	# is the only place to prevent it.
	if ! _netns_answered && ! _netns_ask; then
		eerror "$RC_SVCNAME: this OpenRC starts services in a way that openrc-netns does not know"
		need netns-unsupported-by-this-openrc
	fi
}

# gendepends.sh runs a subshell for each service, and one answer is enough for
# all of them. It is kept with the IDs of that shell and of its parent, and is
# valid if not older than the shell: the next run asks again. (Not all programs
# that work out dependencies set RC_PATH or RC_SVCDIR.)
_netns_answer="${RC_SVCDIR:-/run/openrc}/openrc-netns.supported"

_netns_answered()
{
	local run=''
	# (A directory of /proc is as old as the first look at it.)
	[ -e "/proc/$$" ] && [ -r "$_netns_answer" ] && [ ! "/proc/$$" -nt "$_netns_answer" ] &&
		read -r run <"$_netns_answer" && [ "$run" = "$$ $PPID" ]
}

_netns_ask()
{
	local answer='' script="$_dir/$RC_SVCNAME"
	# By a name that has no file in conf.d: what is in that may fail.
	answer="$(OPENRC_NETNS_PROBE=yes RC_PATH="${RC_PATH:-/etc}" RC_SVCNAME=openrc-netns-check "${0%/*}/openrc-run.sh" "$script" describe 2>/dev/null 3>&-)"
	case "$answer" in
	*openrc-netns) ;; # rc.conf may have said more
	*) return 1 ;;
	esac
	# Whoever may not write it asks again.
	[ ! -w "${_netns_answer%/*}" ] || echo "$$ $PPID" >"$_netns_answer"
}

_netns_version=v1
