package launch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/privilege"
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
	members, err := findGroups(func(g user.Group) bool {
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

// findUser returns the entry of that name, or else of that number.
func findUser(name string) (user.User, error) {
	number, bad := strconv.ParseUint(name, 10, 31)
	passwd, err := files.Open("/etc/passwd")
	if err != nil {
		return user.User{}, err
	}
	defer passwd.Close()
	entries, err := user.ParsePasswdFilter(passwd, func(u user.User) bool {
		return u.Name == name || bad == nil && u.Uid == int(number)
	})
	for _, entry := range entries {
		if entry.Name == name {
			return entry, err
		}
	}
	if err == nil && len(entries) == 0 {
		return user.User{}, user.ErrNoPasswdEntries
	}
	if err != nil {
		return user.User{}, err
	}
	return entries[0], nil
}

// findGroup returns the number of the group of that name, or the number itself.
func findGroup(name string) (int, error) {
	groups, err := findGroups(func(g user.Group) bool { return g.Name == name })
	if err != nil {
		return 0, fmt.Errorf("look up group %q: %w", name, err)
	}
	if len(groups) > 0 {
		return groups[0].Gid, nil
	}
	gid, bad := strconv.ParseUint(name, 10, 31)
	if bad != nil {
		return 0, fmt.Errorf("unknown group %q: there is no entry in /etc/group", name)
	}
	return int(gid), nil
}

func findGroups(filter func(user.Group) bool) ([]user.Group, error) {
	group, err := files.Open("/etc/group")
	if err != nil {
		return nil, err
	}
	defer group.Close()
	return user.ParseGroupFilter(group, filter)
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

// become gives up all other identities of the calling thread, the groups first
// because that needs the rights of the old user.
func (c *credential) become() error {
	if err := unix.Setgroups(c.groups); err != nil {
		return fmt.Errorf("set the groups of user %q: %w", c.user.Name, err)
	}
	if err := privilege.SetGroup(c.gid); err != nil {
		return fmt.Errorf("become group %d: %w", c.gid, err)
	}
	if err := privilege.SetUser(c.user.Uid); err != nil {
		return fmt.Errorf("become user %q: %w", c.user.Name, err)
	}
	return nil
}

func (c *credential) String() string {
	return fmt.Sprintf("%s (uid %d, gid %d, groups %v)", c.user.Name, c.user.Uid, c.gid, c.groups)
}
