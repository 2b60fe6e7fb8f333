package boot

// note writes down what a service does, where it does it, and which
// namespaces have names then.
const note = `note() { echo "$RC_SVCNAME $1 $(readlink /proc/self/ns/net) $RC_RUNLEVEL: $(ls /run/netns 2>/dev/null | xargs)" >>/run/order; }
`

// noting is the end of the init scripts of daemons.
const noting = note + `
pidfile="/run/$RC_SVCNAME.pid"
start_pre() { note start; }
stop_post() { note stop; }
`

// daemon is the init script of a daemon; web of one that answers on port 7.
const daemon = `
command=/bin/sleep
command_args=1000
command_background=yes
` + noting

const serving = `
command=/usr/sbin/probe
command_args="serve $RC_SVCNAME"
` + noting

const web = "command_background=yes\n" + serving

const supervised = "supervisor=supervise-daemon\nrespawn_delay=0\n" + serving

// links makes eth1, with somebody at its other end, in the namespace peer.
const links = note + `
depend() { after netns.peer; }
start()
{
	note start
	ip link add eth1 type veth peer name eth0 netns peer &&
		ip -n peer address add 192.0.2.2/24 dev eth0 &&
		ip -n peer link set eth0 up
}
stop() { note stop; ip link delete eth1; }
`

const noted = note + `
netns_post_up() { note up; }
netns_pre_down() { note down; }
`
