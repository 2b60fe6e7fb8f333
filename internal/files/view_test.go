package files

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestViewWaitsForNobody reads what others may put where a file is looked for.
func TestViewWaitsForNobody(t *testing.T) {
	runtime.LockOSThread() // and no unlock: the thread's mounts go with it
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Skip("needs root:", err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(unix.Mount("none", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	file := func(name, content string) string {
		check(os.WriteFile(dir+"/"+name, []byte(content), 0o644))
		return dir + "/" + name
	}
	file("ordinary", "text")
	check(os.Symlink("ordinary", dir+"/link"))
	check(os.Symlink("/../.."+dir+"/./link", dir+"/far"))
	check(os.Symlink("loop", dir+"/loop"))
	check(os.Mkdir(dir+"/folder", 0o755))
	check(unix.Mkfifo(dir+"/fifo", 0o644))
	check(os.Truncate(file("sparse", ""), 1<<30))
	for name, source := range map[string]string{"kmsg": "/proc/kmsg", "cmdline": "/proc/1/cmdline"} {
		check(unix.Mount(source, file(name, ""), "", unix.MS_BIND, ""))
	}
	check(os.Symlink("/proc/self/fd/0", dir+"/magic"))

	// A server of FUSE that answers what a mount waits for, and nothing else.
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	fuse := err == nil
	if fuse {
		// Closing it ends the waiting of a test that fails.
		time.AfterFunc(20*time.Second, func() { unix.Close(device) })
		check(os.Mkdir(dir+"/fuse", 0o755))
		check(unix.Mount("none", dir+"/fuse", "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device)))
		request, reply := make([]byte, 1<<17), make([]byte, 80)
		_, err := unix.Read(device, request) // FUSE_INIT of linux/fuse.h
		check(err)
		reply[0] = byte(len(reply))
		copy(reply[8:16], request[8:16])       // fuse_in_header.unique
		copy(reply[16:], request[40:48])       // fuse_init_in.major, minor
		copy(reply[36:40], []byte{0, 0, 1, 0}) // fuse_init_out.max_write
		_, err = unix.Write(device, reply)
		check(err)
		check(os.Symlink("fuse/file", dir+"/through"))
	}

	v, err := OpenView(0)
	check(err)
	defer v.Close()
	for name, want := range map[string]string{
		"ordinary": "text", "link": "text", "far": "text", "folder/../ordinary": "text",
		"loop":     "too many levels of symbolic links",
		"folder":   "is not a regular file",
		"fifo":     "is not a regular file",
		"sparse":   "has more than 4096 bytes",
		"kmsg":     "leads to a file system that is not the host's own (proc)",
		"cmdline":  "leads to a file system that is not the host's own (proc)",
		"magic":    "leads to a file system that is not the host's own (proc)",
		"missing":  "no such file or directory",
		"through":  "leads to a file system that is not the host's own (fuse)",
		"fuse":     "leads to a file system that is not the host's own (fuse)",
		"fuse/..":  "leads to a file system that is not the host's own (fuse)",
		"fuse/x/y": "leads to a file system that is not the host's own (fuse)",
	} {
		if strings.Contains(want, "fuse") && !fuse {
			continue
		}
		text, err := v.Read(dir+"/"+name, 4096)
		if got := string(text); err != nil && !strings.HasSuffix(err.Error(), want) || err == nil && got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
		if strings.Contains(want, "host's own") != errors.As(err, new(*WaitsError)) {
			t.Errorf("%s: %T", name, err)
		}
	}
}
