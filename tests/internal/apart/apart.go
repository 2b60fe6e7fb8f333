// Package apart runs the tests of a package on a host of their own, whatever this
// one is like: the test binary once more, in mount, network, PID and cgroup
// namespaces, with throw-away /etc and /run. Nothing reaches the real host, and
// nothing is left of it.
package apart

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/internal/group"
)

// Inside, Dir is a directory in memory that all users may look at, Bin one in it
// that has the programs.
var Dir, Bin string

// The variables of the run inside: Dir, and where the programs have been built.
const (
	dirEnv   = "OPENRC_NETNS_TEST_DIR"
	builtEnv = "OPENRC_NETNS_TEST_BUILT"
)

// Main is to be called in TestMain. Inside, it calls make before the tests, which
// calls [System] and [Fresh].
func Main(m *testing.M, make func() error) int {
	switch {
	case os.Getenv(dirEnv) != "":
		err := enter()
		if err == nil {
			err = make()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "make a host for the tests:", err)
			return 1
		}
		return m.Run()
	case os.Geteuid() != 0:
		fmt.Println("skipped: these tests need root")
		if os.Getenv("CI") == "true" {
			return 1
		}
		return 0
	}
	status, err := runInside()
	if err != nil {
		fmt.Fprintln(os.Stderr, "run on a host of its own:", err)
		return 1
	}
	return status
}

// runInside builds the programs and runs this test binary inside.
func runInside() (status int, err error) {
	built, remove, err := build.Installed()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	// TMPDIR may be where other users cannot look.
	dir, err := os.MkdirTemp("/tmp", "netns-host")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	// The root of a cgroup namespace is what its maker is in at that moment.
	runtime.LockOSThread()
	own, err := group.New("netns-host")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, own.Remove()) }()

	inside := exec.Command("/proc/self/exe", os.Args[1:]...)
	inside.Stdin, inside.Stdout, inside.Stderr = os.Stdin, os.Stdout, os.Stderr
	inside.Env = append(os.Environ(), dirEnv+"="+dir, builtEnv+"="+filepath.Join(built, "usr/sbin"), "TMPDIR="+dir+"/tmp", "LC_ALL=C")
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP,
		Pdeathsig:  unix.SIGKILL,
	}
	if err := own.Within(inside.Start); err != nil {
		return 0, err
	}
	var exit *exec.ExitError
	if err := inside.Wait(); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	} else {
		return 0, err
	}
}

// enter makes mounts and umask this process's own, and Dir.
func enter() error {
	Dir = os.Getenv(dirEnv)
	Bin = filepath.Join(Dir, "bin")
	unix.Umask(0o022)
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("none", Dir, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount %s: %w", Dir, err)
	}
	if err := os.CopyFS(Bin, os.DirFS(os.Getenv(builtEnv))); err != nil {
		return err
	}
	if err := errors.Join(unmount("/run", false), unmount("/etc", true)); err != nil {
		return err
	}
	etc = mountOf("/etc")
	return os.Mkdir(os.Getenv("TMPDIR"), 0o777)
}

// Copy puts this test binary among the programs, under these names.
func Copy(names ...string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(Bin, name), self, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// System mounts /proc, /sys and cgroup v2 anew, and nothing else is below.
func System() error {
	for _, fs := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"cgroup2", "/sys/fs/cgroup"}} {
		if err := unmount(fs[1], false); err != nil {
			return err
		}
		if err := unix.Mount(fs[0], fs[1], fs[0], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", fs[1], err)
		}
	}
	return nil
}

// unmount takes off what is mounted at a directory and below, but for its own
// file system if that is to be kept. What hides behind other mounts goes as well:
// whoever copied it could not take it off.
func unmount(dir string, keep bool) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	for _, mount := range slices.Backward(mounts) {
		if keep && mount.Mountpoint == dir {
			continue
		}
		if err := unix.Unmount(mount.Mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", mount.Mountpoint, err)
		}
	}
	return nil
}

// etc is the mount that the real host's /etc is on.
var etc uint64

// Fresh puts an empty /run with these directories in place, and a throw-away copy
// of /etc without settings of ours. What has been mounted there since the last
// call is taken off.
func Fresh(dirs ...string) error {
	for unix.Unmount("/run", unix.MNT_DETACH) == nil {
	}
	for mountOf("/etc") != etc {
		if err := unix.Unmount("/etc", unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount /etc: %w", err)
		}
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, dir := range append(dirs, "/run/netns", "/run/etc", "/run/work") {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	err := unix.Mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=/run/etc,workdir=/run/work")
	if err != nil {
		return fmt.Errorf("mount /etc: %w", err)
	}
	for _, dir := range []string{"/etc/netns", "/etc/conf.d"} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func mountOf(path string) uint64 {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &stat); err != nil {
		panic(err)
	}
	return stat.Mnt_id
}
