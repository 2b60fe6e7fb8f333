package machine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrNotRoot is the error of [Check] for a caller who is not root.
var ErrNotRoot = errors.New("a throw-away machine needs root")

// tools are the host's programs that this package runs, with the Debian package
// of each.
var tools = [][2]string{
	{"mmdebstrap", "mmdebstrap"},
	{"nsenter", "util-linux"},
	{"unshare", "util-linux"},
	{"tar", "tar"},
}

// Check tells why no machine can be made here: [ErrNotRoot], or a missing
// program and how to install it.
func Check() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool[0]); err != nil {
			return fmt.Errorf("no %s: apt-get install %s", tool[0], tool[1])
		}
	}
	return nil
}

// recipe is how mmdebstrap makes a root, from the mirror that it picks by
// itself; it also keeps packages from starting daemons meanwhile. A change here
// makes new roots.
var recipe = []string{
	"--variant=essential",
	"--include=openrc,bash,busybox,iproute2,mount,netcat-openbsd,openssh-client,openssh-server,procps,strace,util-linux," +
		"nftables,iptables,ipset," + // what firewall scripts call
		"execline,runit,s6," + // the other supervisors
		"chrony,dnsmasq,nginx," + // daemons, with Debian's LSB scripts
		"sudo,opendoas," + // what makes an ordinary user root
		"podman,crun," + // containers
		"pacman-package-manager," + // what installs packages, beside dpkg
		"bsdutils,bash-completion,fish,zsh", // terminals, and what completes command lines on them
	// A mirror's sid may be older than its Release file says it is good for.
	`--aptopt=Acquire::Check-Valid-Until "false"`,
	// Nothing is in a runlevel. No two machines share a host key. And scripts
	// go that depend on services which sysvinit's packages would bring: OpenRC
	// complains of them whenever it reads the dependencies.
	`--customize-hook=cd "$1/etc" && rm -f runlevels/*/* ssh/ssh_host_* init.d/hwclock.sh init.d/procps`,
}

// Root returns the folder of a release's root file system, "sid", "trixie" or
// "bookworm", which it builds with mmdebstrap where the cache does not have it.
// It has to be treated as read-only: running machines lie over it.
//
// The cache is that of [Cache]. To get newer packages, remove it while no machine
// runs.
func Root(release string) (dir string, err error) {
	return cachedRoot(release, io.Discard)
}

func cachedRoot(release string, log io.Writer) (string, error) {
	switch release {
	case "":
		release = "sid"
	case "sid", "trixie", "bookworm":
	default:
		return "", fmt.Errorf("unknown release %q (sid, trixie or bookworm)", release)
	}
	return CachedRoot(release, release, recipe, log)
}

// CachedRoot returns the folder of a root file system, which it builds where
// the cache of [Root] does not have it: of a Debian release, with mmdebstrap's
// options in recipe. The folder is called by the name, and another one for
// another recipe. It has to be treated as read-only. The log gets what
// mmdebstrap says.
func CachedRoot(name, release string, recipe []string, log io.Writer) (dir string, err error) {
	key := sha256.Sum256([]byte(strings.Join(recipe, "\n")))
	folder := fmt.Sprintf("%s-%x", name, key[:6])
	cache, err := Cache(folder)
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache, folder)
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	unlock, err := lock(root + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(root); err == nil {
		return root, nil // another builder was faster
	}
	if err := buildRoot(release, recipe, root, log); err != nil {
		return "", fmt.Errorf("build root of %s: %w", name, err)
	}
	return root, nil
}

// Cache returns the folder that is kept from one run to the next, for what is
// called by the name in it: $OPENRC_NETNS_CACHE, else openrc-netns in
// $XDG_CACHE_HOME or $HOME/.cache, where that has it or can be written to, else
// openrc-netns in /var/tmp, which standard error then names.
func Cache(name string) (dir string, err error) {
	if cache := os.Getenv("OPENRC_NETNS_CACHE"); cache != "" {
		if dir, err = filepath.Abs(cache); err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		return dir, err
	}
	user, why := os.UserCacheDir()
	if why == nil {
		dir = filepath.Join(user, "openrc-netns")
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return dir, nil
		}
		if why = os.MkdirAll(dir, 0o755); why == nil {
			why = unix.Access(dir, unix.W_OK)
		}
		if why == nil {
			return dir, nil
		}
	}
	// Others may write to /var/tmp as well, and what is in the cache is run.
	const shared = "/var/tmp/openrc-netns"
	if err := os.Mkdir(shared, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	var stat unix.Stat_t
	if err := unix.Lstat(shared, &stat); err != nil {
		return "", err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR || stat.Mode&0o022 != 0 || int(stat.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s is not a folder of this user alone: set OPENRC_NETNS_CACHE", shared)
	}
	told.Do(func() { fmt.Fprintf(os.Stderr, "no cache of the user's (%v): using %s\n", why, shared) })
	return shared, nil
}

var told sync.Once

// buildRoot builds beside root, and renames what is complete. The caller holds
// the lock.
func buildRoot(release string, recipe []string, root string, log io.Writer) error {
	if err := Check(); err != nil {
		return err
	}
	unfinished := root + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil { // of a builder that was killed
		return err
	}
	defer os.RemoveAll(unfinished)

	// In namespaces of its own, which end with it, mmdebstrap leaves no mount
	// and no process behind when it is killed.
	args := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"}
	args = append(append(args, recipe...), release, unfinished)
	cmd := exec.Command("unshare", args...)
	var said bytes.Buffer
	cmd.Stdout = io.MultiWriter(&said, log)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, said.Bytes())
	}
	return os.Rename(unfinished, root)
}

// lock takes the lock file, which it makes if need be, and returns what gives
// it back.
func lock(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		switch err {
		case nil:
			return func() { file.Close() }, nil
		case unix.EINTR:
		default:
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
	}
}

// layer returns a folder that can lie over the root: what "make install" has
// put into a folder, through the links that the root has at its top (/lib, say).
// It is made once, beside the folder, and is called after the root.
func layer(installed, root string) (dir string, err error) {
	dir = installed + "-" + filepath.Base(root)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), "layer")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(unfinished)
	entries, err := os.ReadDir(root)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(root, entry.Name())); err == nil {
			if err := os.Symlink(target, filepath.Join(unfinished, entry.Name())); err != nil {
				return "", err
			}
		}
	}
	const copy = `chmod 755 "$2"; tar -C "$1" --owner=0 --group=0 --numeric-owner -c . | tar -C "$2" --no-overwrite-dir --keep-directory-symlink -xp`
	if out, err := exec.Command("sh", "-c", copy, "sh", installed, unfinished).CombinedOutput(); err != nil {
		return "", fmt.Errorf("lay %s over %s: %w: %s", installed, root, err, out)
	}
	if err := os.Rename(unfinished, dir); err != nil && !errors.Is(err, fs.ErrExist) { // another test was faster
		return "", err
	}
	return dir, nil
}
