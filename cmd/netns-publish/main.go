// A relay has few threads and needs no more: it is one loop.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Netns-publish lets the host reach ports inside a network namespace. See
// netns-publish(8).
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/inherited"
	"openrc-netns/internal/option"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/version"
)

const usage = `Usage: netns-publish [OPTION]... NETNS ENTRY...

Listen on the host's network, and pass connections on to addresses inside the
network namespace NETNS. ENTRY is what the host may reach:

  127.0.0.1:9091                       the same address and port inside
  [::1]:8080=192.0.2.1:80              another one
  udp:127.0.0.1:53                     datagrams
  unix:/run/web.sock=127.0.0.1:80      a socket in the file system

      --timeout SECONDS      end a connection that is half closed, or whose peer
                             takes nothing, after this time without a byte
                             (default 900)
      --udp-timeout SECONDS  forget a client of UDP that was silent for this time
                             (default 60)
  -n, --dry-run              open everything, and end
  -h, --help                 print this text
  -V, --version              print the version

Exit status: 1 if something fails.
`

// All is done here and nothing in main. Namespaces belong to threads, and the
// one that enters also execs: init functions run on the startup thread, and stay
// there.
func init() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "netns-publish: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func main() {}

func run(args []string) error {
	o, err := parse(args)
	switch {
	case errors.Is(err, option.ErrHelp):
		return print(usage)
	case err != nil:
		return err
	case o.version:
		return print("netns-publish " + version.String() + "\n")
	}
	if part := os.Getenv(partVariable); part != "" {
		return o.play(part)
	}
	if err := inherited.Check(); err != nil {
		return err
	}
	if err := privilege.CheckSecure(); err != nil {
		return err
	}
	if err := privilege.CheckSysAdmin(); err != nil {
		return err
	}
	return o.start()
}

// options is the command line, taken apart.
type options struct {
	netns   string
	entries []publish.Entry
	limits  publish.Limits
	dryRun  bool
	version bool
}

func parse(args []string) (*options, error) {
	o := options{limits: publish.Limits{Connections: 16384, Clients: 4096, Timeout: 15 * time.Minute, UDP: time.Minute}}
	var timeout, udp string
	var set option.Set
	set.Value(&timeout, "timeout", 0)
	set.Value(&udp, "udp-timeout", 0)
	set.Flag(&o.dryRun, "dry-run", 'n')
	set.Flag(&o.version, "version", 'V')
	operands, _, err := set.Parse(args)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w; see: netns-publish --help", err)
	case o.version:
		return &o, nil
	case len(operands) == 0:
		return nil, errors.New("no network namespace given; see: netns-publish --help")
	case len(operands) == 1:
		return nil, fmt.Errorf("nothing of network namespace %q is to be reached: list it in %s, 127.0.0.1:9091 for instance", operands[0], publish.Setting)
	}
	for _, given := range []struct {
		name, value string
		time        *time.Duration
	}{{"timeout", timeout, &o.limits.Timeout}, {"udp-timeout", udp, &o.limits.UDP}} {
		if given.value == "" {
			continue
		}
		seconds, err := strconv.Atoi(given.value)
		if err != nil || seconds < 1 || seconds > 86400 {
			return nil, fmt.Errorf("--%s=%s: give a number of seconds from 1 to 86400", given.name, given.value)
		}
		*given.time = time.Duration(seconds) * time.Second
	}
	o.netns = operands[0]
	o.entries, err = publish.ParseWords(operands[1:])
	return &o, err
}

// print reports what scripts would miss: a full disk, a closed pipe.
func print(text string) error {
	if _, err := unix.Write(1, []byte(text)); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}
