package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const hostname = "openrc"

// none are the flags of mounts that have no programs.
const none = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// environment is what the guest's programs get.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb"}

// runInit is PID 1 of the guest. It returns only with an error.
func runInit(s spec) error {
	if err := overlay(); err != nil {
		return err
	}
	if err := setUp(); err != nil {
		return err
	}
	prepare := standIn
	if s.Boot {
		prepare = prepareBoot
	}
	if err := prepare(s); err != nil {
		return err
	}
	const copyTree = "tar -C " + install + " --owner=0 --group=0 --numeric-owner -c . |" +
		"tar -C / --no-overwrite-dir --keep-directory-symlink -xp"
	if err := shell(copyTree); err != nil {
		return err
	}
	if err := makeCoverage(s.Cover); err != nil {
		return err
	}
	agent, err := startAgent(s)
	if err != nil {
		return err
	}
	if err := shell("rm -r /mnt/*"); err != nil {
		return err
	}
	if s.Boot {
		const openrc = "/sbin/openrc-init"
		return unix.Exec(openrc, []string{openrc}, environment)
	}
	reap(agent.Pid)
	return fmt.Errorf("%s has ended", agentName)
}

func startAgent(s spec) (*os.Process, error) {
	folder, err := openExchange()
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	agent := exec.Command(initExe)
	agent.Args[0] = agentName
	if s.Boot {
		agent.Args = append(agent.Args, "boot")
	}
	agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
	agent.ExtraFiles = []*os.File{folder} // descriptor 3
	agent.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	err = agent.Start()
	return agent.Process, err
}

// openExchange opens the folder that the program sees too. The guest does not
// see it: its mount has no place.
func openExchange() (*os.File, error) {
	if err := unix.Mount("none", "/mnt", "hostfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, exchange); err != nil {
		return nil, fmt.Errorf("mount the exchange folder: %w", err)
	}
	folder, err := os.Open("/mnt")
	if err != nil {
		return nil, err
	}
	return folder, unix.Unmount("/mnt", unix.MNT_DETACH)
}

// overlay mounts an overlay with the root below and the guest's memory above,
// and makes it "/".
func overlay() error {
	const space = "/tmp"
	if err := unix.Mount("tmpfs", space, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := os.Chdir(space); err != nil {
		return err
	}
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", "root", "overlay", 0, "lowerdir=/,upperdir=upper,workdir=work"); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	if err := unix.Mount("devtmpfs", "root/dev", "devtmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount devtmpfs: %w", err)
	}
	if err := os.Chdir("root"); err != nil {
		return err
	}
	// pivot_root(2), "pivot_root(".", ".")": the old root comes to lie on top
	// of the new one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	return os.Chdir("/")
}

// setUp leaves what an initial RAM file system and an administrator would have
// left.
func setUp() error {
	for _, m := range []struct {
		fstype, target string
		flags          uintptr
		options        string
	}{
		{"proc", "/proc", none, ""},
		{"sysfs", "/sys", none, ""},
		{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=620,ptmxmode=666,gid=5"},
		{"tmpfs", "/dev/shm", none, "mode=1777"},
		{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "/tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	} {
		if err := mount(m.fstype, m.target, m.flags, m.options); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{
		"/etc/hostname":    hostname + "\n",
		"/etc/hosts":       "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost\n",
		"/etc/resolv.conf": "nameserver 192.0.2.53\n", // the guest has no network
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return err
	}
	// Else OpenRC, which knows User-Mode Linux, would skip services that do not
	// go with it.
	return shell(`ip link set lo up; echo 'rc_sys=""' >>/etc/rc.conf`)
}

// prepareBoot tells OpenRC which cgroups to mount.
func prepareBoot(s spec) error {
	if s.Cgroup == "none" {
		return nil
	}
	return shell("echo rc_cgroup_mode=" + s.Cgroup + " >>/etc/rc.conf; rc-update -q add cgroups sysinit")
}

// standIn leaves what OpenRC's boot would have left.
func standIn(s spec) error {
	for _, dir := range []string{
		"daemons", "exclusive", "failed", "hotplugged", "inactive", "init.d", "options", "scheduled", "started",
		"starting", "stopping", "tmp", "wasinactive",
	} {
		if err := os.MkdirAll(filepath.Join("/run/openrc", dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/run/openrc/softlevel", []byte("default"), 0o644); err != nil {
		return err
	}
	return mountCgroups(s.Cgroup)
}

// mountCgroups mounts what OpenRC's service cgroups does in this
// rc_cgroup_mode.
func mountCgroups(mode string) error {
	const base = "/sys/fs/cgroup"
	switch mode {
	case "none":
		return nil
	case "unified":
		return mount("cgroup2", base, none, "nsdelegate")
	}
	if err := mount("tmpfs", base, none, "mode=755"); err != nil {
		return err
	}
	if err := mount("cgroup2", base+"/unified", none, "nsdelegate"); err != nil {
		return err
	}
	if err := mount("cgroup", base+"/openrc", none, "none,name=openrc"); err != nil {
		return err
	}
	controllers, err := os.Open("/proc/cgroups")
	if err != nil {
		return err
	}
	defer controllers.Close()
	for lines := bufio.NewScanner(controllers); lines.Scan(); {
		// cgroups(7): name, hierarchy, number of cgroups, enabled
		field := strings.Fields(lines.Text())
		if len(field) == 4 && field[3] == "1" {
			if err := mount("cgroup", filepath.Join(base, field[0]), none, field[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

func mount(fstype, target string, flags uintptr, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(fstype, target, fstype, flags, options); err != nil {
		return fmt.Errorf("mount %s at %s: %w", fstype, target, err)
	}
	return nil
}

// shell runs a script. What it says is an error.
func shell(script string) error {
	if out, err := ordinary("sh", "-ec", script).CombinedOutput(); err != nil || len(out) > 0 {
		return fmt.Errorf("%s: %v: %s", script, err, out)
	}
	return nil
}

// ordinary is a command with the environment and working directory of any other
// in the guest.
func ordinary(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/env", append([]string{name}, args...)...) // env looks in the PATH of its environment
	cmd.Env = environment
	cmd.Dir = "/"
	return cmd
}

// reap collects the processes whose parents have gone, until the last one has
// ended.
func reap(last int) {
	// The kernel keeps from PID 1 what it does not handle; Go's runtime handles
	// these, if only to die.
	ended := make(chan os.Signal, 1)
	deadly := []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2}
	signal.Notify(make(chan os.Signal, 1), deadly...)
	signal.Notify(ended, unix.SIGCHLD)
	for {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case pid == last:
			return
		case pid <= 0 && err != unix.EINTR:
			<-ended
		}
	}
}

// readOrders reads what vm-host was told.
func readOrders() (s spec, err error) {
	content, err := os.ReadFile(orders)
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	return s, err
}
