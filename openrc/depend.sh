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
	if ! _netns_answered && ! _netns_ask; then
		eerror "$RC_SVCNAME: this OpenRC starts services in a way that openrc-netns does not know"
		need netns-unsupported-by-this-openrc
	fi
}

# gendepends.sh has a subshell for each service, and one answer does for all of them.
# It is kept with what tells this run from the next one, which asks again: the ID of
# the shell, and when it was started (proc_pid_stat(5)).
_netns_answered()
{
	local run='' answer=''
	[ -r "$_netns_answer" ] && read -r answer <"$_netns_answer" || return 1
	_netns_read_run
	[ "$answer" = "$run" ]
}

_netns_read_run()
{
	local line=''
	read -r line <"/proc/$$/stat"
	# shellcheck disable=SC2086 # words
	set -- ${line##*) }
	run="$$ ${20}"
}

# (Of the programs that work out dependencies not all set RC_PATH or RC_SVCDIR.)
_netns_answer="${RC_SVCDIR:-/run/openrc}/openrc-netns.seam"

_netns_ask()
{
	local run='' answer=''
	answer="$(OPENRC_NETNS_PROBE=yes RC_PATH="${RC_PATH:-/etc}" "${0%/*}/openrc-run.sh" "$_dir/$RC_SVCNAME" describe 2>/dev/null 3>&-)"
	[ "$answer" = openrc-netns ] || return 1
	_netns_read_run
	# Who may not write it asks again.
	[ ! -w "${_netns_answer%/*}" ] || echo "$run" >"$_netns_answer"
}

_netns_version=v1
