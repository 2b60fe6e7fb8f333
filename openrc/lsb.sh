# shellcheck shell=sh disable=SC2154,SC3043
#
# Init scripts with an LSB header, which OpenRC finally becomes: service.sh
# reads this file before that.

# What such a script does instead of OpenRC must be certain to happen inside:
# its start accepts a daemon that is already running, and its other commands may
# start one.
_netns_check_lsb()
{
	local patience=50
	! _netns_unasked || return 0
	case "$_netns_action" in
	stop | status) ;;
	start)
		# The stop of a restart may not have waited for the daemon to
		# end.
		while [ "$RC_CMD" = restart ] && [ "$patience" -gt 0 ] && "$RC_SERVICE" status >/dev/null 2>&1; do
			patience=$((patience - 1))
			sleep 0.1
		done
		if "$RC_SERVICE" status >/dev/null 2>&1; then
			eerror "$RC_SVCNAME: it runs already, and OpenRC did not start it: move it with: $RC_SERVICE restart"
			exit 1
		fi
		;;
	*)
		if [ ! -e "$RC_SVCDIR/options/$RC_SVCNAME/netns" ]; then
			eerror "$RC_SVCNAME: cannot $_netns_action: it was not started in a network namespace or a VRF"
			exit 1
		fi
		;;
	esac
}

_netns_version=v1
