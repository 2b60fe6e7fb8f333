package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"

	"openrc-netns/internal/files"
	"openrc-netns/internal/namespace"
)

// Without WireGuard in the kernel, wireguard-go is a process with a tun device
// for an interface, which goes when the process does, and a socket on the
// network that it was started on.

// program is what wg-quick(8) starts there.
const program = "wireguard-go"

// socketDir is where it listens to be configured, at NAME.sock.
const socketDir = "/var/run/wireguard"

// mark is a variable in the environment of the processes that are ours: it
// tells the namespace and the interface.
const mark = "OPENRC_NETNS_WIREGUARD"

func markOf(netns, name string) string { return mark + "=" + netns + "/" + name }

func findProgram() (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", errNoWireGuard
	}
	return path, nil
}

// newUserspace starts wireguard-go on the host's network, configures it, and
// moves the interface in.
func (j *journal) newUserspace(ns both, t tunnel) error {
	path, err := findProgram()
	if err != nil {
		return err
	}
	link, err := find(ns.host, t.Name)
	if err != nil {
		return err
	}
	if link != nil || listens(t.Name) {
		return fmt.Errorf("cannot make interface %q: there is another one of that name, and %s cannot make a second; give the file %s another name", t.Name, program, t.Path)
	}
	if err := j.note(wireguard, t.Name); err != nil {
		return err
	}
	if err := startProgram(ns.host, path, j.name(), t.Name); err != nil {
		return err
	}
	if err := configure(ns.host, t); err != nil {
		return err
	}
	// It hears of the MTU only while it sees the interface.
	err = ns.host.Do(func() error {
		link, err := netlink.LinkByName(t.Name)
		if err == nil {
			err = netlink.LinkSetMTU(link, t.mtu)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("give interface %q an MTU of %d: %w", t.Name, t.mtu, err)
	}
	if link, err = find(ns.host, t.Name); err != nil {
		return err
	}
	if link == nil {
		return fmt.Errorf("interface %q is gone: %s has ended", t.Name, program)
	}
	if err := move(ns.host, link, ns.inside, t.Name); err != nil {
		return fmt.Errorf("cannot move interface %q in: %w", t.Name, err)
	}
	return nil
}

// startProgram starts wireguard-go, which puts itself into the background when
// it has made the interface.
func startProgram(host *namespace.Namespace, path, netns, name string) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, path, name)
	cmd.Dir, cmd.Stderr = "/", &said
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), markOf(netns, name)}
	// What ends this session, a terminal that is closed, is not to end it.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	err := host.Do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		why := err.Error()
		for line := range strings.Lines(said.String()) {
			// It has a text in a box for those who could do without it.
			if line = strings.TrimSpace(line); line != "" && !strings.ContainsAny(line, "│┌└") {
				why = line
			}
		}
		return fmt.Errorf("%s cannot make interface %q: %s", program, name, why)
	}
	return nil
}

// awaitSocket waits until wireguard-go has its socket on the host's network: of
// an interface in another network namespace it asks once a second whether that
// is up.
func awaitSocket(host *namespace.Namespace, t tunnel) error {
	const patience, pause = 30 * time.Second, 20 * time.Millisecond
	client, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("configure WireGuard: %w", err)
	}
	defer client.Close()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(pause) {
		device, err := client.Device(t.Name)
		if err != nil {
			return fmt.Errorf("look at WireGuard interface %q: %w", t.Name, err)
		}
		if device.ListenPort != 0 && portInUse(host, uint16(device.ListenPort)) {
			return nil
		}
	}
	return fmt.Errorf("%s has interface %q, and does not open its socket on the host's network", program, t.Name)
}

// listens reports whether a process serves an interface of that name.
func listens(name string) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: socketPath(name)}) == nil
}

func socketPath(name string) string { return filepath.Join(socketDir, name+".sock") }

// deleteWireGuard undoes makeWireGuard, however far that has come.
func deleteWireGuard(ns both, netns, name string, tell func(string)) error {
	deleted, err := deleteLink(ns, name, wireguardKind)
	if err != nil {
		return err
	}
	ended, err := endProgram(netns, name)
	if err == nil && !deleted && !ended {
		tell(fmt.Sprintf("interface %q is gone", name))
	}
	return err
}

// endProgram ends the processes of ours that serve an interface, and with them
// the interface, wherever it is. It removes the file of their socket.
func endProgram(netns, name string) (ended bool, err error) {
	const kindly, patience, pause = 5 * time.Second, 30 * time.Second, 10 * time.Millisecond
	signal := unix.SIGTERM
	for begin := time.Now(); ; time.Sleep(pause) {
		found := marked(markOf(netns, name))
		if len(found) == 0 {
			break
		}
		switch passed := time.Since(begin); {
		case passed > patience:
			return true, fmt.Errorf("delete interface %q: process %d does not end", name, found[0])
		case passed > kindly:
			signal = unix.SIGKILL
		}
		for _, pid := range found {
			_ = unix.Kill(pid, signal)
		}
		ended = true
	}
	if !ended {
		return false, nil
	}
	if err := os.Remove(socketPath(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return true, fmt.Errorf("delete interface %q: %w", name, err)
	}
	return true, nil
}

// marked lists the processes of this user that execute wireguard-go and have the
// line in their environment: anybody else may put it there.
func marked(line string) (pids []int) {
	path, _ := findProgram()
	installed, _ := files.Identify(unix.AT_FDCWD, path)
	processes, _ := files.ReadDir("/proc")
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		var stat unix.Stat_t
		dir := "/proc/" + process.Name()
		if unix.Stat(dir, &stat) != nil || int(stat.Uid) != os.Geteuid() {
			continue
		}
		// It may have been replaced since, and it may be on a file system that does
		// not answer.
		exe, err := files.Identify(unix.AT_FDCWD, dir+"/exe")
		link, _ := os.Readlink(dir + "/exe")
		if (err != nil || exe != installed) && filepath.Base(strings.TrimSuffix(link, " (deleted)")) != program {
			continue
		}
		environ, err := files.Patiently(pid, func() ([]byte, error) { return files.Read(dir + "/environ") }) // empty of a zombie
		if err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+line+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}
