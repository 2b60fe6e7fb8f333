// Rc-netns shows an administrator which services run in which network
// namespaces, and what would keep them from it. See rc-netns(8).
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"openrc-netns/internal/aside"
	"openrc-netns/internal/egress"
	"openrc-netns/internal/inherited"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/repair"
	"openrc-netns/internal/version"
)

const usage = `Usage: rc-netns [status] [--json | --watch[=SECONDS]] [SERVICE]...
       rc-netns check [--json] [SERVICE]...
       rc-netns egress [--json] [SERVICE | NETNS]...
       rc-netns grant USER NETNS
       rc-netns repair [-nq] [SERVICE]...
       rc-netns settings [--null] SERVICE
       rc-netns up [-n] [OPTION]... NETNS
       rc-netns down [--restart] NETNS

status shows which service runs where, whether that is where its settings say,
and what to do if not. check finds out, before a start, what would keep services
from running there; it starts nothing. With no SERVICE they cover all that have
settings.

egress shows where the packets of services and network namespaces would leave, by
asking the kernel: nothing is sent. With no name it shows all confined services that
run.

grant prints what root writes down for sudo or doas, so that a user may run commands
in a network namespace, as nobody else and nowhere else.

repair puts right, in services that run and without a restart, what status calls files,
and of what it calls sockets and stale what can be put right without one.

settings prints what conf.d sets for a service, as status, check and netns-exec(8)
read it.

up and down are what the service netns.NETNS calls. up makes the network
namespace if there is none, brings its loopback up, and does what its options say;
if one of these fails it undoes the others. down undoes what up did, and nothing
else. The options of up may be repeated.

  --json           print what has been found for programs
  --watch[=SECONDS]
                   show it again and again, every 2 seconds or as given
  --null           end each setting with a NUL byte, and quote nothing
  --interface DEVICE[:NEWNAME]
                   move DEVICE in, and call it NEWNAME there
  --wireguard FILE make the WireGuard interface of this file of wg-quick(8), with
                   its socket on the host's network
  --veth HOSTNAME:NAME
                   make a pair of interfaces, the first on the host's network
  --config IFACE=ADDRESS...
                   give the interface addresses and bring it up
  --routes IFACE=ROUTE
                   make a route through the interface
  --dns SERVER     have SERVER asked for names; or a domain to search
  --sysctl KEY=VALUE
                   set a sysctl below net, as sysctl(8) would
  -n, --dry-run    find out what would keep up from it, or what repair would do, and do
                   nothing
  -q, --quiet      print only what repair could not do
  --restart        an up is to follow: keep a namespace that has processes in it

  -h, --help       print this text
  -V, --version    print the version

Exit status: 0 if all is well, 1 if somebody has to act, if there is a way out
beside a tunnel, or if up or down failed, 125 if status, check, egress or repair
could not look.
`

func main() {
	// Namespaces belong to threads.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:]))
}

// run does what the command line says, and returns the exit status.
func run(args []string) int {
	if err := inherited.Check(); err != nil {
		return conclude("", false, err)
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		if len(args) > 0 && (args[0] == "-V" || args[0] == "--version") {
			return conclude("", false, write("rc-netns "+version.String()+"\n"))
		}
		return timed(status, append([]string{"status"}, args...))
	}
	switch args[0] {
	case "status":
		return timed(status, args)
	case "check":
		return timed(check, args)
	case "egress":
		return timed(printEgress, args)
	case "grant":
		return printGrant(args[1:])
	case "repair":
		return timed(repairServices, args)
	case "settings":
		return printSettings(args[1:])
	case "up":
		return manage(up, args[1:])
	case "down":
		return manage(down, args[1:])
	case egress.TunCommand: // for egress and repair alone
		egress.PrintTun(args[1:])
		return 0
	case repair.BindCommand:
		repair.PrintBind(args[1:])
		return 0
	}
	return conclude("", false, fmt.Errorf("unknown command %q; see: rc-netns --help", args[0]))
}

// timed has a command that looks at what others decide done by another process. Whatever
// keeps that waiting, for ever and beyond SIGKILL perhaps, this one ends.
func timed(command func([]string) int, args []string) int {
	const patience = time.Minute
	if os.Args[0] == timedName || slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--watch") }) {
		return command(args[1:])
	}
	status, err := aside.Pass(patience, timedName, args...)
	switch {
	case errors.Is(err, aside.ErrNoAnswer):
		return conclude(args[0], false, fmt.Errorf("not done in %v: somebody keeps those waiting who look", patience))
	case err != nil:
		return command(args[1:])
	}
	return status
}

// timedName is the name by which timed starts this program.
const timedName = "rc-netns (timed)"

// manage does what changes something, for root.
func manage(command func([]string) error, args []string) int {
	err := privilege.CheckSecure()
	if err == nil {
		err = command(args)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, pflag.ErrHelp):
		return conclude("", false, write(usage))
	case !errors.Is(err, errReported):
		complain("", err)
	}
	return 1
}
