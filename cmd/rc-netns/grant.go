package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"openrc-netns/internal/namespace"
)

// printGrant prints what lets a user run commands in a network namespace, for
// sudo(8) and for doas(1). It changes nothing.
func printGrant(args []string) int {
	flags := pflag.NewFlagSet("grant", pflag.ContinueOnError)
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case err != nil:
		err = fmt.Errorf("%w; see: rc-netns --help", err)
	case flags.NArg() != 2:
		err = errors.New("needs the names of one user and one network namespace; see: rc-netns --help")
	default:
		err = writeGrant(flags.Arg(0), flags.Arg(1))
	}
	return conclude("grant", false, err)
}

// grant has the program, the user and the namespace. In sudoers(5) a * at the
// end stands for any arguments, all of which are behind the --, where netns-exec
// takes no option. doas.conf(5) has nothing like it.
const grant = `# For sudo, a line for "visudo -f /etc/sudoers.d/netns-%[3]s-%[2]s":
%[2]s ALL=(root) NOPASSWD: %[1]s --caller %[3]s, %[1]s --caller %[3]s -- *
# after which %[2]s types: sudo netns-exec --caller %[3]s -- COMMAND

# For doas, an executable file of root's, /usr/local/bin/netns-exec-%[3]s:
#!/bin/sh
exec %[1]s --caller %[3]s -- "$@"
# and a line of /etc/doas.conf:
permit nopass %[2]s as root cmd /usr/local/bin/netns-exec-%[3]s
# after which %[2]s types: doas /usr/local/bin/netns-exec-%[3]s COMMAND
`

func writeGrant(user, netns string) error {
	if err := checkGrant("user", user); err != nil {
		return err
	}
	if err := namespace.CheckName(netns); err != nil {
		return err
	}
	if err := checkGrant("network namespace", netns); err != nil {
		return err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find netns-exec (is /proc mounted?): %w", err)
	}
	return write(fmt.Sprintf(grant, filepath.Join(filepath.Dir(self), "netns-exec"), user, netns))
}

// checkGrant refuses names that mean something else in sudoers(5), doas.conf(5)
// or a shell, or would have to be quoted in one of them. Sudo reads no file with a
// dot in its name, takes a word of capitals for an alias or ALL, and %group and
// +netgroup for what they are; doas takes a number for a user's.
func checkGrant(what, name string) error {
	const capitals, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_", "0123456789"
	const plain = "abcdefghijklmnopqrstuvwxyz" + capitals + digits + "-"
	switch {
	case name == "", name[0] == '-', strings.Trim(name, plain) != "":
		return fmt.Errorf("cannot grant with %s %q: use a name of letters, digits, _ and -", what, name)
	case what == "user" && (name == "root" || strings.Trim(name, capitals+digits) == ""):
		return fmt.Errorf("cannot grant with user %q: it is root, or a number, or all in capitals, which sudo or doas may take for others", name)
	}
	return nil
}
