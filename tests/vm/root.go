package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/machine"
)

// Check tells why no virtual machine can be made here, as [machine.Check] does: [machine.ErrNotRoot], or a missing
// program and how to install it.
func Check() error { return machine.Check() }

// release is the Debian release of the root. Older ones have kernels for User-Mode Linux that do not run on processors
// with AMX: their floating-point state is larger than Linux before 6.13 allows for.
const release = "sid"

// recipe is how mmdebstrap makes the root, from the mirror that it picks by itself. A change here makes a new root.
var recipe = []string{
	"--variant=essential",
	"--include=openrc,bash,busybox,hyperfine,iproute2,kmod,mount,netcat-openbsd,openssh-client,openssh-server,procps," +
		"strace,user-mode-linux,util-linux",
	// A mirror's sid may be older than its Release file says it is good for.
	`--aptopt=Acquire::Check-Valid-Until "false"`,
	// The kernel's modules are where modprobe looks.
	`--customize-hook=ln -s uml/modules "$1/usr/lib/modules"`,
	// No two machines share a host key. And a script goes that depends on services which sysvinit's packages would bring:
	// OpenRC complains of it whenever it reads the dependencies.
	`--customize-hook=cd "$1/etc" && rm -f runlevels/*/* ssh/ssh_host_* init.d/hwclock.sh init.d/procps`,
}

// Root returns the folder of the root file system, which it builds with mmdebstrap where the cache does not have it. It
// has to be treated as read-only: running virtual machines read it.
//
// The cache is that of package machine. To get newer packages, remove it while no virtual machine runs.
func Root(ctx context.Context) (dir string, err error) {
	return cachedRoot(ctx, io.Discard)
}

func cachedRoot(ctx context.Context, log io.Writer) (string, error) {
	cache := os.Getenv("OPENRC_NETNS_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no folder for the cache: set OPENRC_NETNS_CACHE: %w", err)
		}
		cache = filepath.Join(user, "openrc-netns")
	}
	key := sha256.Sum256([]byte(strings.Join(recipe, "\n")))
	root, err := filepath.Abs(filepath.Join(cache, fmt.Sprintf("vm-%s-%x", release, key[:6])))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, root+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(root); err == nil {
		return root, nil // another builder was faster
	}
	if err := buildRoot(ctx, root, log); err != nil {
		return "", fmt.Errorf("build root: %w", err)
	}
	return root, nil
}

// buildRoot builds beside root, and renames what is complete. The caller holds the lock.
func buildRoot(ctx context.Context, root string, log io.Writer) error {
	unfinished := root + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil { // of a builder that was killed
		return err
	}
	defer os.RemoveAll(unfinished)

	// In namespaces of its own, which end with it, mmdebstrap leaves no mount and no process behind when it is killed.
	args := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"}
	args = append(append(args, recipe...), release, unfinished)
	cmd := exec.CommandContext(ctx, "unshare", args...)
	var said bytes.Buffer
	cmd.Stdout = io.MultiWriter(&said, log)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, said.Bytes())
	}
	return os.Rename(unfinished, root)
}

// lock takes the lock file, which it makes if need be, and returns what gives it back.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", name, ctx.Err())
		}
	}
}
