package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/moby/sys/user"
)

// Caller is the name of the user who called sudo(8) or doas(1), which run this
// process as root. It is an error if that is root, or if it cannot be told for
// certain: each of the two sets its own variables whatever its caller had, and
// may let the caller's through that the other one would set.
func Caller() (string, error) {
	sudo, doas := os.Getenv("SUDO_USER"), os.Getenv("DOAS_USER")
	name := sudo + doas
	switch {
	case name == "":
		return "", errors.New("cannot tell who calls: neither SUDO_USER nor DOAS_USER is set, as sudo and doas do")
	case sudo != "" && doas != "":
		return "", errors.New("cannot tell who calls: SUDO_USER and DOAS_USER are both set; have sudo or doas reset the environment")
	}
	entry, err := findUser(name)
	switch {
	case errors.Is(err, user.ErrNoPasswdEntries) || err == nil && entry.Name != name:
		return "", fmt.Errorf("unknown user %q: there is no entry in /etc/passwd", name)
	case err != nil:
		return "", fmt.Errorf("look up user %q: %w", name, err)
	case sudo != "" && os.Getenv("SUDO_UID") != strconv.Itoa(entry.Uid):
		return "", fmt.Errorf("cannot tell who calls: user %q is not SUDO_UID %q", name, os.Getenv("SUDO_UID"))
	case entry.Uid == 0:
		return "", fmt.Errorf("the caller %q is root: say who to become with --user", name)
	}
	return name, nil
}
