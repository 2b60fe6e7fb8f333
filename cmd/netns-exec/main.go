// No launch lasts long enough for CPU limits to matter. The runtime would keep two
// descriptors to watch them by, which a small limit on open files has no room for,
// and without the goroutine that watches one has ten context switches fewer.
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
	"slices"

	"github.com/spf13/pflag"

	"openrc-netns/internal/inherited"
	"openrc-netns/internal/launch"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/version"
)

const usage = `Usage: netns-exec [OPTION]... NETNS [--] [COMMAND [ARG]...]
       netns-exec [OPTION]... --service NAME [--] [COMMAND [ARG]...]
       netns-exec [OPTION]... --vrf VRF -- [COMMAND [ARG]...]

Run COMMAND, or the user's shell, in the network namespace NETNS: a name below
/run/netns or an absolute path such as /proc/1234/ns/net.

  -s, --service NAME       take namespace and settings from /etc/conf.d/NAME
  -u, --user USER[:GROUP]  become this user before running COMMAND
      --etc bind|none      bind the entries of /etc/netns/NETNS over /etc, or
                           leave /etc alone (default bind)
      --hide PATH          hide this file or directory; may be given again
      --vrf VRF            bind every IP socket to this VRF device of the namespace
      --lock               no IP sockets in other namespaces, and no way out of this
                           one through the kernel
      --lock-keep CAP      leave this capability, net_admin for instance, which opens
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

// All is done here and nothing in main. Namespaces belong to threads, and the one
// that enters also execs: init functions run on the startup thread, where they
// stay without being locked to it (runtime.LockOSThread), which would start a
// thread more.
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
	if err := launch.CheckSecure(); err != nil {
		return err
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	switch {
	case o.help:
		return print(usage)
	case o.version:
		return print("netns-exec " + version.String() + "\n")
	}
	spec, err := o.spec()
	if err != nil {
		return err
	}
	plan, err := launch.Check(spec)
	if err != nil {
		return err
	}
	if o.dryRun {
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
	etc      string
	hide     []string
	vrf      string
	cgroup   string
	lock     bool
	lockKeep []string
	dryRun   bool
	help     bool
	version  bool
	netns    string
	hasNetns bool
	argv     []string
}

func parse(args []string) (*options, error) {
	var o options
	flags := pflag.NewFlagSet("netns-exec", pflag.ContinueOnError)
	flags.SetInterspersed(false) // options end at the first operand
	flags.Usage = func() {}
	flags.StringVarP(&o.service, "service", "s", "", "")
	flags.StringVarP(&o.user, "user", "u", "", "")
	flags.StringVar(&o.etc, "etc", "", "")
	flags.StringArrayVar(&o.hide, "hide", nil, "")
	flags.StringVar(&o.vrf, "vrf", "", "")
	flags.StringVar(&o.cgroup, "cgroup", "", "")
	flags.BoolVar(&o.lock, "lock", false, "")
	flags.StringSliceVar(&o.lockKeep, "lock-keep", nil, "")
	flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "")
	flags.BoolVarP(&o.help, "help", "h", false, "")
	flags.BoolVarP(&o.version, "version", "V", false, "")
	if err := flags.Parse(args); err != nil {
		return nil, usageError(err)
	}
	for _, name := range []string{"service", "user", "etc", "vrf", "cgroup"} {
		if flag := flags.Lookup(name); flag.Changed && flag.Value.String() == "" {
			return nil, fmt.Errorf("option --%s needs a value; see: netns-exec --help", name)
		}
	}
	if flags.Changed("lock-keep") && (len(o.lockKeep) == 0 || slices.Contains(o.lockKeep, "")) {
		return nil, errors.New("option --lock-keep needs a value; see: netns-exec --help")
	}
	if slices.Contains(o.hide, "") {
		return nil, errors.New("option --hide needs a value; see: netns-exec --help")
	}
	operands := flags.Args()
	// A "--" right after the options, or --service, means that no NETNS comes.
	if len(operands) > 0 && flags.ArgsLenAtDash() != 0 && o.service == "" {
		o.netns, o.hasNetns = operands[0], true
		operands = operands[1:]
		if len(operands) > 0 && operands[0] == "--" {
			operands = operands[1:]
		}
	}
	o.argv = operands
	return &o, nil
}

// usageError puts the library's words into ours.
func usageError(err error) error {
	const see = "see: netns-exec --help"
	var unknown *pflag.NotExistError
	var valueless *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("unknown option %q; %s", dashed(unknown.GetSpecifiedName(), unknown.GetSpecifiedShortnames()), see)
	case errors.As(err, &valueless):
		return fmt.Errorf("option %q needs a value; %s", dashed(valueless.GetSpecifiedName(), valueless.GetSpecifiedShortnames()), see)
	case errors.As(err, &invalid):
		return fmt.Errorf("option %q takes no value %q; %s", "--"+invalid.GetFlag().Name, invalid.GetValue(), see)
	}
	return fmt.Errorf("%w; %s", err, see)
}

func dashed(name, shortnames string) string {
	if shortnames != "" {
		return "-" + name
	}
	return "--" + name
}

// spec joins the command line with the settings of the service.
func (o *options) spec() (launch.Spec, error) {
	var spec launch.Spec
	switch {
	case o.service != "":
		settings, err := openrc.ReadSettings(o.service)
		if err != nil {
			return spec, err
		}
		if !settings.Confined() {
			return spec, fmt.Errorf("service %q sets none of netns, vrf and netns_lock in %s", o.service, openrc.ConfDir)
		}
		if spec, err = settings.Spec(); err != nil {
			return spec, fmt.Errorf("service %q: %w", o.service, err)
		}
		if spec.Netns == "" { // vrf alone is the host's, wherever we are called
			if spec.Inside, err = namespace.Open(namespace.Host); err != nil {
				return spec, err
			}
		}
	case o.hasNetns:
		spec.Netns = o.netns
	case o.vrf == "" && !o.lock:
		return spec, errors.New("no network namespace given; see: netns-exec --help")
	}
	if o.etc != "" {
		spec.Etc = o.etc
	}
	if o.vrf != "" {
		spec.VRF = o.vrf
	}
	spec.Hide = append(spec.Hide, o.hide...)
	spec.Lock = spec.Lock || o.lock
	if len(o.lockKeep) > 0 && !spec.Lock {
		return spec, errors.New("option --lock-keep goes with --lock; see: netns-exec --help")
	}
	spec.Keep = append(spec.Keep, o.lockKeep...)
	if o.cgroup != "" && spec.VRF == "" && !spec.Lock {
		return spec, errors.New("option --cgroup goes with --vrf or --lock; see: netns-exec --help")
	}
	spec.Cgroup = o.cgroup
	spec.Trial = o.dryRun
	spec.User = o.user
	spec.Argv = o.argv
	spec.Env = inherited.Environ()
	spec.Warn = func(text string) { fmt.Fprintf(os.Stderr, "netns-exec: warning: %s\n", text) }
	return spec, nil
}

// print reports what scripts would miss: a full disk, a closed pipe.
func print(text string) error {
	if _, err := os.Stdout.WriteString(text); err != nil {
		return fmt.Errorf("write to standard output: %w", errors.Unwrap(err))
	}
	return nil
}
