package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What a name below /run/netns can be.
const (
	absent    = "absent"
	namespace = "namespace"
	host      = "the host's"
	otherType = "of another type"
	between   = "between the two steps of ip netns add, or of delete" // a file, with no mount on it
	file      = "file"
	fifo      = "FIFO"
	directory = "directory"
)

// nameState is what a name is, and where it leads.
type nameState struct {
	kind   string
	inode  uint64
	mark   string
	tokens []string // what the files of /etc say with it, where an administrator sees to that
}

func (s nameState) leads() bool { return s.kind == namespace || s.kind == host }

func stateOf(n *netns) nameState { return nameState{kind: namespace, inode: n.inode, mark: n.mark} }

func hostState() nameState { return nameState{kind: host, inode: hostInode, mark: "in-host"} }

// fileState is what a file below /etc/netns/NAME is.
type fileState struct {
	token string // what is seen in /etc with it
	bad   bool   // it cannot be bound over that file
}

// name is one below /run/netns, with what somebody makes of it.
type name struct {
	text    string
	order   string // steady, admin, again (admin, with one namespace all the time) or wild: who changes it
	states  history[nameState]
	files   map[string]*history[fileState] // of wild ones
	changes atomic.Int64
	random  *rand.Rand
	stack   []nameState // of wild ones: what the mounts on it, and the file, are
	count   int
}

func newName(text, order string, random *rand.Rand) (*name, error) {
	n := &name{text: text, order: order, random: random, files: map[string]*history[fileState]{}}
	nothing := func() error { return nil }
	_ = n.states.change(nameState{kind: absent}, nothing)
	for _, f := range tokenFiles {
		n.files[f] = &history[fileState]{}
		_ = n.files[f].change(fileState{token: hostToken}, nothing)
	}
	conf := fmt.Sprintf("netns=%s\n", text)
	if err := os.WriteFile("/etc/conf.d/"+text, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if order == "wild" {
		return n, os.Mkdir(n.dir(), 0o755)
	}
	return n, n.renew()
}

func (n *name) path() string { return "/run/netns/" + n.text }

func (n *name) dir() string { return "/etc/netns/" + n.text }

func (n *name) set(s nameState, do func() error) error {
	n.changes.Add(1)
	return n.states.change(s, do)
}

// churn changes the name until stop is closed.
func (n *name) churn(stop chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		var err error
		if n.order == "admin" || n.order == "again" {
			if err = n.delete(); err == nil {
				n.pause(400 * time.Microsecond)
				err = n.renew()
			}
			n.pause(8 * time.Millisecond)
		} else {
			if err = n.disturb(); err == nil && n.random.IntN(3) == 0 {
				err = n.disturbFile()
			}
			n.pause(4 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("change %s: %w", n.text, err)
		}
	}
}

func (n *name) pause(most time.Duration) {
	if d := time.Duration(n.random.Int64N(int64(most))); n.random.IntN(4) != 0 {
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil)
	}
}

// delete is what ip-netns(8) does to delete a name.
func (n *name) delete() error {
	err := n.set(nameState{kind: between}, func() error { return unix.Unmount(n.path(), unix.MNT_DETACH) })
	if err != nil {
		return err
	}
	return n.set(nameState{kind: absent}, func() error { return unix.Unlink(n.path()) })
}

// renew is what an administrator does while the name is deleted: new files,
// then the name for another namespace.
func (n *name) renew() error {
	n.count++
	chosen := pool[n.count%len(pool)]
	if n.order == "steady" || n.order == "again" {
		chosen = steady
	}
	s := stateOf(chosen)
	for _, f := range tokenFiles {
		token := fmt.Sprintf("# %s %d\n", n.text, n.count)
		if n.random.IntN(4) == 0 {
			token = hostToken
		}
		s.tokens = append(s.tokens, token)
		if err := n.writeFile(f, token); err != nil {
			return err
		}
	}
	n.pause(200 * time.Microsecond)
	err := n.set(nameState{kind: between}, func() error { return os.WriteFile(n.path(), nil, 0o444) })
	if err != nil {
		return err
	}
	return n.set(s, func() error {
		return unix.Mount(chosen.path(), n.path(), "", unix.MS_BIND, "")
	})
}

// writeFile puts another file in the place of the one for the namespace; none
// where the host's is to be seen.
func (n *name) writeFile(f, token string) error {
	path := filepath.Join(n.dir(), f)
	if token == hostToken {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if n.random.IntN(2) == 0 {
			_ = os.Remove(n.dir()) // if it is empty
		}
		return nil
	}
	if err := os.MkdirAll(n.dir(), 0o755); err != nil {
		return err
	}
	fresh := n.dir() + ".new"
	if err := os.WriteFile(fresh, []byte(token), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// pop takes the uppermost thing away.
func (n *name) pop() error {
	below := nameState{kind: absent}
	remove := func() error { return os.Remove(n.path()) }
	if len(n.stack) > 1 {
		below = n.stack[len(n.stack)-2]
		remove = func() error { return unix.Unmount(n.path(), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) }
	}
	n.stack = n.stack[:len(n.stack)-1]
	return n.set(below, remove)
}

func (n *name) push(s nameState, do func() error) error {
	n.stack = append(n.stack, s)
	return n.set(s, do)
}

// disturb makes the name something else, in no order.
func (n *name) disturb() error {
	random := n.random
	// A mount goes on a file and on what is mounted there.
	if len(n.stack) > 0 && len(n.stack) < 3 && mountable(n.stack[0]) && random.IntN(3) != 0 {
		return n.cover()
	}
	for len(n.stack) > 0 {
		if err := n.pop(); err != nil {
			return err
		}
		if random.IntN(3) == 0 {
			return nil
		}
	}
	if random.IntN(3) != 0 { // as it mostly is
		if err := n.push(nameState{kind: between}, func() error { return os.WriteFile(n.path(), nil, 0o444) }); err != nil {
			return err
		}
		return n.cover()
	}
	link := func(to string) func() error {
		return func() error {
			fresh := "/run/." + n.text
			if err := os.Symlink(to, fresh); err != nil {
				return err
			}
			return os.Rename(fresh, n.path())
		}
	}
	switch random.IntN(7) {
	case 0:
		return n.push(nameState{kind: file}, func() error { return os.WriteFile(n.path(), nil, 0o444) })
	case 1:
		return n.push(nameState{kind: fifo}, func() error { return unix.Mkfifo(n.path(), 0o644) })
	case 2:
		return n.push(nameState{kind: directory}, func() error { return os.Mkdir(n.path(), 0o755) })
	case 3:
		return n.push(stateOf(steady), link("/run/netns/steady"))
	case 4:
		return n.push(hostState(), link("/proc/1/ns/net"))
	case 5:
		return n.push(nameState{kind: absent}, link("/run/netns/nowhere"))
	default:
		return n.push(hostState(), link("/proc/self/ns/net"))
	}
}

func mountable(s nameState) bool { return s.kind == between || s.kind == file }

// cover mounts something on the name.
func (n *name) cover() error {
	chosen := pool[n.random.IntN(len(pool))]
	s, source := stateOf(chosen), chosen.path()
	switch n.random.IntN(12) {
	case 0:
		s, source = hostState(), "/proc/1/ns/net"
	case 1:
		s, source = nameState{kind: otherType}, "/proc/1/ns/uts"
	case 2: // made elsewhere, and moved here
		elsewhere := "/run/." + n.text
		if err := os.WriteFile(elsewhere, nil, 0o444); err != nil {
			return err
		}
		defer os.Remove(elsewhere)
		if err := unix.Mount(source, elsewhere, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		return n.push(s, func() error { return unix.Mount(elsewhere, n.path(), "", unix.MS_MOVE, "") })
	}
	return n.push(s, func() error { return unix.Mount(source, n.path(), "", unix.MS_BIND, "") })
}

// disturbFile makes a file of /etc/netns/NAME something else.
func (n *name) disturbFile() error {
	f := tokenFiles[n.random.IntN(len(tokenFiles))]
	path, fresh := filepath.Join(n.dir(), f), n.dir()+".new"
	n.count++
	token := fmt.Sprintf("# %s %d\n", n.text, n.count)
	s := fileState{token: token}
	var replace func() error
	// Rename puts no file over a directory and no directory over a file.
	if err := n.files[f].change(fileState{token: hostToken}, func() error { return os.RemoveAll(path) }); err != nil {
		return err
	}
	choice := n.random.IntN(10)
	s.bad = choice <= 3
	switch choice {
	case 0:
		return nil
	case 1:
		replace = func() error { return os.Mkdir(path, 0o755) }
	case 2:
		replace = func() error { return unix.Mkfifo(path, 0o644) }
	case 3:
		replace = func() error { return os.Symlink("nowhere", path) }
	default:
		if err := os.WriteFile(fresh, []byte(token), 0o644); err != nil {
			return err
		}
		replace = func() error { return os.Rename(fresh, path) }
	}
	return n.files[f].change(s, replace)
}

// churnAll changes the names until the returned function is called, which
// reports what went wrong.
func churnAll(names []*name) func() error {
	stop := make(chan struct{})
	var wait sync.WaitGroup
	failed := make([]error, len(names))
	for i, n := range names {
		if n.order != "steady" {
			wait.Go(func() { failed[i] = n.churn(stop) })
		}
	}
	return func() error {
		close(stop)
		wait.Wait()
		return errors.Join(failed...)
	}
}
