package launch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/user"
)

// credential is a user to become, from /etc/passwd and /etc/group.
type credential struct {
	user   user.User
	gid    int
	groups []int
}

// lookupUser resolves USER[:GROUP], each a name or a number. The user must
// have an entry, because HOME and SHELL come from it; a group number need not.
func lookupUser(spec string) (*credential, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	entry, err := findUser(name)
	if errors.Is(err, user.ErrNoPasswdEntries) {
		return nil, fmt.Errorf("unknown user %q: there is no entry in /etc/passwd", name)
	}
	if err != nil {
		return nil, fmt.Errorf("look up user %q: %w", name, err)
	}
	c := &credential{user: entry, gid: entry.Gid}
	if hasGroup {
		if c.gid, err = findGroup(group); err != nil {
			return nil, err
		}
	}
	c.groups = []int{c.gid}
	members, err := user.ParseGroupFileFilter("/etc/group", func(g user.Group) bool {
		return g.Gid != c.gid && slices.Contains(g.List, entry.Name)
	})
	if err != nil {
		return nil, fmt.Errorf("look up the groups of user %q: %w", entry.Name, err)
	}
	for _, g := range members {
		c.groups = append(c.groups, g.Gid)
	}
	return c, nil
}

func findUser(name string) (user.User, error) {
	entry, err := user.LookupUser(name)
	if !errors.Is(err, user.ErrNoPasswdEntries) {
		return entry, err
	}
	uid, bad := strconv.ParseUint(name, 10, 31)
	if bad != nil {
		return entry, err
	}
	return user.LookupUid(int(uid))
}

func findGroup(name string) (int, error) {
	entry, err := user.LookupGroup(name)
	if err == nil {
		return entry.Gid, nil
	}
	if !errors.Is(err, user.ErrNoGroupEntries) {
		return 0, fmt.Errorf("look up group %q: %w", name, err)
	}
	gid, bad := strconv.ParseUint(name, 10, 31)
	if bad != nil {
		return 0, fmt.Errorf("unknown group %q: there is no entry in /etc/group", name)
	}
	return int(gid), nil
}

// environ sets what login(1) sets of the user.
func (c *credential) environ(env []string) []string {
	shell := c.user.Shell
	if shell == "" {
		shell = "/bin/sh" // passwd(5)
	}
	env = setenv(env, "HOME", c.user.Home)
	env = setenv(env, "USER", c.user.Name)
	env = setenv(env, "LOGNAME", c.user.Name)
	return setenv(env, "SHELL", shell)
}

// become gives up all other identities, the groups first because that needs
// the rights that go with the user.
func (c *credential) become() error {
	if err := syscall.Setgroups(c.groups); err != nil {
		return fmt.Errorf("set the groups of user %q: %w", c.user.Name, err)
	}
	if err := syscall.Setgid(c.gid); err != nil {
		return fmt.Errorf("become group %d: %w", c.gid, err)
	}
	if err := syscall.Setuid(c.user.Uid); err != nil {
		return fmt.Errorf("become user %q: %w", c.user.Name, err)
	}
	return nil
}

func (c *credential) String() string {
	return fmt.Sprintf("%s (uid %d, gid %d, groups %v)", c.user.Name, c.user.Uid, c.gid, c.groups)
}
