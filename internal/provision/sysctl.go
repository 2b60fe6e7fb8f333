package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/namespace"
)

// Sysctl is a setting below /proc/sys/net.
type Sysctl struct {
	Key, Value string // as for sysctl(8): net.ipv4.ip_forward, 1
}

// ParseSysctls reads a list of settings with blanks between them, each
// KEY=VALUE with the keys of sysctl(8). A value may have blanks itself: a word
// without an equals sign belongs to the one before.
func ParseSysctls(list string) ([]Sysctl, error) {
	var sysctls []Sysctl
	for _, word := range strings.Fields(list) {
		key, value, isNew := strings.Cut(word, "=")
		if !isNew && len(sysctls) > 0 {
			sysctls[len(sysctls)-1].Value += " " + word
			continue
		}
		if !isNew || key == "" {
			return nil, fmt.Errorf("bad sysctl %q: write it as KEY=VALUE, without blanks around the equals sign", word)
		}
		path := sysctlPath(key)
		if !strings.HasPrefix(path, "net/") || filepath.Clean(path) != path {
			return nil, fmt.Errorf("bad sysctl %q: it does not belong to a network namespace, those begin with \"net.\"", key)
		}
		sysctls = append(sysctls, Sysctl{key, value})
	}
	return sysctls, nil
}

// sysctlPath makes a key a path below /proc/sys as sysctl(8) does: if the first
// separator is a dot, dots and slashes trade places, so that an interface may
// have a dot in its name: net.ipv4.conf.eth0/100.rp_filter.
func sysctlPath(key string) string {
	if i := strings.IndexAny(key, "./"); i < 0 || key[i] == '/' {
		return key
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
}

func (s Sysctl) String() string { return s.Key + "=" + s.Value }

// setSysctls sets sysctls in ns. Those that do not exist are returned if later
// says so, and an error if not.
func (j *journal) setSysctls(ns *namespace.Namespace, sysctls []Sysctl, later bool) (rest []Sysctl, err error) {
	err = ns.Do(func() error {
		for _, s := range sysctls {
			old, err := readSysctl(s.Key)
			if later && errors.Is(err, fs.ErrNotExist) {
				rest = append(rest, s)
				continue
			}
			if err == nil {
				if err := j.note(sysctl, s.Key, old); err != nil {
					return err
				}
				err = writeSysctl(s.Key, s.Value)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("set sysctl %q: a network namespace has no such setting", s)
			}
			if err != nil {
				return fmt.Errorf("set sysctl %q: %w", s, err)
			}
		}
		return nil
	})
	return rest, err
}

// restoreSysctl gives a sysctl its old value. One that has gone went with its
// interface; one that does not take it back is worth a word, and no more: the
// stop goes on.
func restoreSysctl(key, value string, tell func(string)) error {
	if err := writeSysctl(key, value); err != nil && !errors.Is(err, fs.ErrNotExist) {
		tell(fmt.Sprintf("cannot set sysctl %q back to %q: %v", key, value, err))
	}
	return nil
}

// readSysctl reads the value for the calling thread's network namespace.
func readSysctl(key string) (string, error) {
	value, err := files.Read("/proc/sys/" + sysctlPath(key))
	return strings.TrimSpace(string(value)), err
}

func writeSysctl(key, value string) error {
	fd, err := unix.Open("/proc/sys/"+sysctlPath(key), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value+"\n"))
	return err
}
