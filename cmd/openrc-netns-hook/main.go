// No launch lasts long enough for CPU limits to matter. The runtime would keep two
// descriptors to watch them by, which a small limit on open files has no room for,
// and without the goroutine that watches one has ten context switches fewer.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Openrc-netns-hook does for OpenRC what its shell cannot. See
// openrc-netns-hook(8).
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/spf13/pflag"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/version"
)

const usage = `Usage: openrc-netns-hook status [--json | --watch[=SECONDS]] [SERVICE]...
       openrc-netns-hook check [--json] [SERVICE]...
       openrc-netns-hook up [--interface DEVICE[:NEWNAME]]...
                            [--sysctl KEY=VALUE]... NETNS
       openrc-netns-hook down NETNS
       openrc-netns-hook exec --service NAME --action ACTION [OPTION]...
                              -- COMMAND [ARG]...
       openrc-netns-hook leave --service NAME

status shows which service runs where, whether that is where its settings say,
and what to do if not. check looks, before a start, for what would keep services
from running there; it starts nothing. With no SERVICE they look at all that have
settings.

up and down are what the service netns.NETNS calls. up makes the network
namespace if there is none, brings its loopback up, moves the interfaces in and
sets the sysctls; if one of these fails it undoes the others. down undoes what
up did, and nothing else.

exec and leave are what the drop-in in /etc/rc.conf.d calls, and lost where it has
lost its library; to run a command by hand use netns-exec(8). exec becomes COMMAND
in the network namespace of a service. leave takes the calling process out of the
cgroup that was made for the service, and removes it if nothing else is in it.

  --json           print what status has seen or check has found for programs
  --watch[=SECONDS]
                   show it again and again, every 2 seconds or as given
  --interface DEVICE[:NEWNAME]
                   move DEVICE in, and call it NEWNAME there
  --sysctl KEY=VALUE
                   set a sysctl below net, as sysctl(8) would
  --service NAME   the service
  --action ACTION  what openrc-run is to do; start is strict, stop and status
                   work with the namespace gone
  --restart        a start is to follow: refuse to stop if it would fail
  --protocol WORD  the version of the drop-in that calls
  --token TEXT     what the drop-in is to have back inside
  --netns NETNS    the settings of the service, each by its name
  --vrf VRF
  --netns_etc WORD
  --netns_hide PATHS
  --netns_lock WORD
  --netns_lock_keep CAPS

  -h, --help       print this text
  -V, --version    print the version

Exit status: 1 if it fails, else that of COMMAND. Of status and check: 0 if all
is well, 1 if somebody has to act, 125 if they could not look.
`

// What every start waits for is done here: init functions run on the startup
// thread, where they stay without being locked to it (runtime.LockOSThread), which
// would start a thread more.
func init() {
	if len(os.Args) > 1 && slices.Contains([]string{"exec", "lost", "leave"}, os.Args[1]) {
		run(os.Args[1:])
	}
}

func main() {
	// Namespaces belong to threads; the one that enters also execs.
	runtime.LockOSThread()
	run(os.Args[1:])
}

// run does what the command line says, and ends the process.
func run(args []string) {
	if len(args) == 0 {
		fail(errors.New("no command given; see: openrc-netns-hook --help"))
	}
	var err error
	switch args[0] {
	case "-h", "--help":
		err = write(usage)
	case "-V", "--version":
		err = write("openrc-netns-hook " + version.String() + "\n")
	case "status":
		os.Exit(status(args[1:]))
	case "check":
		os.Exit(check(args[1:]))
	case "exec", "lost", "leave", "up", "down":
		command := map[string]func([]string) error{
			"exec": execService, "lost": lost, "leave": leave, "up": up, "down": down,
		}[args[0]]
		if err = launch.CheckSecure(); err == nil {
			err = command(args[1:])
		}
		if errors.Is(err, pflag.ErrHelp) {
			err = write(usage)
		}
	default:
		err = fmt.Errorf("unknown command %q; see: openrc-netns-hook --help", args[0])
	}
	if err != nil {
		fail(err)
	}
	os.Exit(0)
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "openrc-netns-hook: %v\n", err)
	os.Exit(1)
}
