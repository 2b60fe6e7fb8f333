package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/root"
)

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
	root.Reap(agent.Pid)
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
	if err := unix.Mount("none", "/mnt", "hostfs", root.None, exchange); err != nil {
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
	if err := root.Overlay("/tmp", "/"); err != nil {
		return err
	}
	if err := root.MountAll(root.Mount{"devtmpfs", "dev", unix.MS_NOSUID, "mode=755"}); err != nil {
		return err
	}
	return root.Pivot()
}

// setUp leaves what an initial RAM file system and an administrator would have
// left.
func setUp() error {
	err := root.MountAll(
		root.Mount{"proc", "/proc", root.None, ""},
		root.Mount{"sysfs", "/sys", root.None, ""},
		root.Mount{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=620,ptmxmode=666,gid=5"},
		root.Mount{"tmpfs", "/dev/shm", root.None, "mode=1777"},
		root.Mount{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		root.Mount{"tmpfs", "/tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	)
	if err == nil {
		err = root.Name()
	}
	if err != nil {
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
	if err := root.Booted(); err != nil {
		return err
	}
	return mountCgroups(s.Cgroup)
}

// mountCgroups mounts what OpenRC's service cgroups does in this
// rc_cgroup_mode.
func mountCgroups(mode string) error {
	const base = "/sys/fs/cgroup"
	cgroup := func(fstype, dir, options string) root.Mount {
		return root.Mount{fstype, filepath.Join(base, dir), root.None, options}
	}
	switch mode {
	case "none":
		return nil
	case "unified":
		return root.MountAll(cgroup("cgroup2", "", "nsdelegate"))
	}
	all := []root.Mount{cgroup("tmpfs", "", "mode=755"), cgroup("cgroup2", "unified", "nsdelegate"), cgroup("cgroup", "openrc", "none,name=openrc")}
	controllers, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(controllers)) {
		// cgroups(7): name, hierarchy, number of cgroups, enabled
		if field := strings.Fields(line); len(field) == 4 && field[3] == "1" {
			all = append(all, cgroup("cgroup", field[0], field[0]))
		}
	}
	return root.MountAll(all...)
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

// readOrders reads what vm-host was told.
func readOrders() (s spec, err error) {
	content, err := os.ReadFile(orders)
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	return s, err
}
