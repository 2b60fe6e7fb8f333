// No launch lasts long enough for CPU limits to matter. The runtime would keep
// two descriptors to watch them by, which a small limit on open files has no
// room for, and without the goroutine that watches one has ten context switches
// fewer.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Netns-exec runs a command in a network namespace: it enters, then becomes
// the command. See netns-exec(8).
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/inherited"
	"openrc-netns/internal/launch"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/option"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/rcnetns"
	"openrc-netns/internal/version"
)

const usage = `Usage: netns-exec [OPTION]... NETNS [--] [COMMAND [ARG]...]
       netns-exec [OPTION]... --service NAME [--] [COMMAND [ARG]...]
       netns-exec [OPTION]... --vrf VRF -- [COMMAND [ARG]...]

Run COMMAND, or the user's shell, in the network namespace NETNS: a name below
/run/netns or an absolute path such as /proc/1234/ns/net.

  -s, --service NAME       take namespace and settings from /etc/conf.d/NAME
  -u, --user USER[:GROUP]  become this user before running COMMAND
      --caller             become the user who called sudo or doas, who is not root
      --no-etc             do not bind the entries of /etc/netns/NETNS over /etc
      --hide PATH          hide this file or directory; may be given again
      --vrf VRF            bind every IP socket to this VRF device of the namespace
      --lock               no IP sockets in other namespaces, and no way out of this
                           one through the kernel
      --keep-cap CAP       leave this capability, net_admin for instance, which opens
                           a way; may be given again
      --cgroup PATH        do both on this control group, not on one of our own
  -n, --dry-run            check everything, print the plan, run nothing
  -h, --help               print this text
  -V, --version            print the version

Exit status: 125 if netns-exec itself fails, 126 if COMMAND cannot be executed,
127 if it is not found, else that of COMMAND.

Example: netns-exec -u nobody vpn -- curl https://example.org/
`

// Exit statuses of our own, those of env(1) and timeout(1).
const (
	exitFailure       = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// All is done here and nothing in main. Namespaces belong to threads, and the
// one that enters also execs: init functions run on the startup thread, where
// they stay without being locked to it (runtime.LockOSThread), which would
// start a thread more.
func init() {
	os.Exit(status(run(os.Args[1:])))
}

func main() {}

// status reports an error, and returns the exit status that goes with it.
func status(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "netns-exec: %v\n", err)
	var command *launch.CommandError
	switch {
	case !errors.As(err, &command):
		return exitFailure
	case errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	}
	return exitNotExecutable
}

func run(args []string) error {
	if err := inherited.Check(); err != nil {
		return err
	}
	if err := privilege.CheckSecure(); err != nil {
		return err
	}
	o, err := parse(args)
	switch {
	case errors.Is(err, option.ErrHelp):
		return print(usage)
	case err != nil:
		return fmt.Errorf("%w; see: netns-exec --help", err)
	case o.version:
		return print("netns-exec " + version.String() + "\n")
	}
	spec, err := o.spec()
	if err != nil {
		return err
	}
	plan, err := launch.Check(spec)
	if o.hasNetns && (o.vrf != "" || o.lock) && errors.As(err, new(*namespace.NotExistError)) {
		return fmt.Errorf("%w; to stay in this network namespace, write -- before the command", err)
	}
	if err != nil {
		return err
	}
	if o.dryRun {
		if err := plan.Rehearse(); err != nil {
			return err
		}
		return print(plan.String())
	}
	if _, err := plan.Enter(); err != nil {
		return err
	}
	return plan.Exec()
}

// options is the command line, taken apart.
type options struct {
	service  string
	user     string
	caller   bool
	noEtc    bool
	hide     []string
	vrf      string
	cgroup   string
	lock     bool
	keepCaps []string
	dryRun   bool
	version  bool
	netns    string
	hasNetns bool
	argv     []string
}

func parse(args []string) (*options, error) {
	var o options
	var set option.Set
	set.Value(&o.service, "service", 's')
	set.Value(&o.user, "user", 'u')
	set.Flag(&o.caller, "caller", 0)
	set.Flag(&o.noEtc, "no-etc", 0)
	set.Values(&o.hide, "hide")
	set.Value(&o.vrf, "vrf", 0)
	set.Value(&o.cgroup, "cgroup", 0)
	set.Flag(&o.lock, "lock", 0)
	set.Values(&o.keepCaps, "keep-cap")
	set.Flag(&o.dryRun, "dry-run", 'n')
	set.Flag(&o.version, "version", 'V')
	operands, dashes, err := set.Parse(args)
	if err != nil {
		return nil, err
	}
	// A "--" right after the options, or --service, means that no NETNS comes.
	if len(operands) > 0 && !dashes && o.service == "" {
		o.netns, o.hasNetns = operands[0], true
		operands = operands[1:]
		if len(operands) > 0 && operands[0] == "--" {
			operands = operands[1:]
		}
	}
	o.argv = operands
	return &o, nil
}

// spec joins the command line with the settings of the service.
func (o *options) spec() (launch.Spec, error) {
	var spec launch.Spec
	if o.caller {
		if err := o.becomeCaller(); err != nil {
			return spec, err
		}
	}
	switch {
	case o.service != "":
		settings, err := readSettings(o.service)
		if err != nil {
			return spec, err
		}
		if !settings.Confined() {
			return spec, fmt.Errorf("service %q sets none of netns, vrf and netns_lock in %s", o.service, rcdir.Conf)
		}
		if spec, err = settings.Spec(); err != nil {
			return spec, fmt.Errorf("service %q: %w", o.service, err)
		}
	case !o.hasNetns && o.vrf == "" && !o.lock:
		return spec, errors.New("no network namespace given; see: netns-exec --help")
	default:
		spec.Place = launch.Place{Netns: o.netns, AllowHost: true}
		spec.View = &launch.View{Etc: namespace.BaseName(o.netns)}
	}
	if o.noEtc {
		spec.View.Etc = ""
	}
	spec.View.Hide = append(spec.View.Hide, o.hide...)
	sockets := &spec.Sockets
	if o.vrf != "" {
		sockets.VRF = o.vrf
	}
	sockets.Lock = sockets.Lock || o.lock
	if len(o.keepCaps) > 0 && !sockets.Lock {
		return spec, errors.New("option --keep-cap goes with --lock; see: netns-exec --help")
	}
	for _, names := range o.keepCaps {
		sockets.Keep = append(sockets.Keep, strings.Split(names, ",")...)
	}
	if o.cgroup != "" && sockets.VRF == "" && !sockets.Lock {
		return spec, errors.New("option --cgroup goes with --vrf or --lock; see: netns-exec --help")
	}
	sockets.Cgroup = o.cgroup
	spec.Command = launch.Command{Argv: o.argv, Env: inherited.Environ(), User: o.user}
	spec.Warn = func(text string) { fmt.Fprintf(os.Stderr, "netns-exec: warning: %s\n", text) }
	return spec, nil
}

// becomeCaller is for a command line that an ordinary user may end, behind what
// sudoers(5) or doas.conf(5) says: nothing else of root's is to be had.
func (o *options) becomeCaller() (err error) {
	switch {
	case o.user != "":
		return errors.New("options --caller and --user exclude each other")
	case o.service != "", !o.hasNetns:
		return errors.New("option --caller takes a network namespace by its name; see: netns-exec --help")
	}
	if err := namespace.CheckName(o.netns); err != nil || filepath.IsAbs(o.netns) {
		return fmt.Errorf("option --caller takes a network namespace by its name, not %q", o.netns)
	}
	o.user, err = launch.Caller()
	return err
}

// readSettings has conf.d read, which takes more than the rest of a launch.
func readSettings(service string) (openrc.Settings, error) {
	answer, err := rcnetns.Ask("settings", "--null", "--", service)
	if err != nil {
		return openrc.Settings{}, err
	}
	settings, odd := openrc.ParseSettings(answer)
	if odd != "" {
		return settings, fmt.Errorf("cannot understand what rc-netns says of service %q: %q; install openrc-netns again", service, odd)
	}
	return settings, nil
}

// print reports what scripts would miss: a full disk, a closed pipe.
func print(text string) error {
	if _, err := os.Stdout.WriteString(text); err != nil {
		return fmt.Errorf("write to standard output: %w", errors.Unwrap(err))
	}
	return nil
}
