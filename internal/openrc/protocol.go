package openrc

// Protocol is the word by which the drop-in, its library and the hook know that
// they belong together: it names what they call each other by. It changes
// whenever one of them relies on something that another did not have or do
// before.
//
// Of two that do not belong together nothing starts. Services that run are
// stopped all the same, by what never changes: openrc-netns-hook's "lost" and,
// of "exec", --protocol, --service, --action, --restart, --netns, --vrf and
// --netns_lock, given before the others; and OPENRC_NETNS_ENTERED, which begins
// with the process ID, with a path of openrc-run.sh that begins with /./.
const Protocol = "v1"
