// No launch lasts long enough for CPU limits to matter. The runtime would keep
// two descriptors to watch them by, which a small limit on open files has no
// room for, and without the goroutine that watches one has ten context switches
// fewer.
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

	"openrc-netns/internal/inherited"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/option"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/version"
)

const usage = `Usage: openrc-netns-hook exec --service NAME --action ACTION [OPTION]...
                              -- COMMAND [ARG]...
       openrc-netns-hook leave --service NAME
       openrc-netns-hook protocol

This is what OpenRC's shell calls. To see which service runs where use rc-netns(8),
to run a command by hand netns-exec(8).

exec and leave are what the drop-in in /etc/rc.conf.d calls, and lost where it has
lost its library. exec becomes COMMAND in the network namespace of a service. leave
takes the calling process out of the cgroup that was made for the service, and
removes it if nothing else is in it. protocol prints the version of the drop-in and
the library that this one understands.

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
  --netns_keep_caps CAPS
  --netns_inherit WORD

  -h, --help       print this text
  -V, --version    print the version

Exit status: 1 if it fails, else that of COMMAND.
`

// All is done here and nothing in main. Namespaces belong to threads, and the
// one that enters also execs: init functions run on the startup thread, where
// they stay without being locked to it (runtime.LockOSThread), which would
// start a thread more.
func init() {
	run(os.Args[1:])
}

func main() {}

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
	case "protocol":
		err = write(openrc.Protocol + "\n")
	case "exec", "lost", "leave":
		command := map[string]func([]string) error{"exec": execService, "lost": lost, "leave": leave}[args[0]]
		if err = inherited.Check(); err == nil {
			err = privilege.CheckSecure()
		}
		if err == nil {
			err = command(args[1:])
		}
		if errors.Is(err, option.ErrHelp) {
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

// write prints text, and reports what scripts would miss: a full disk, a closed
// pipe.
func write(text string) error {
	if _, err := os.Stdout.WriteString(text); err != nil {
		return fmt.Errorf("write to standard output: %w", errors.Unwrap(err))
	}
	return nil
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "openrc-netns-hook: %v\n", err)
	os.Exit(1)
}
