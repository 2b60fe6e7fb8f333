package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unstick sets an openrc-run going again that has missed the end of its script.
// It never returns.
//
// OpenRC 0.56 notes the process number of the script when fork(2) has returned.
// If the script has ended by then, as it can on a busy host, the handler of
// SIGCHLD takes it for some other process, and openrc-run waits for ever to be
// told of the end through a pipe to itself
// (https://github.com/OpenRC/openrc/issues/895). It happens about once in some
// ten thousand commands. What the exit status was nobody knows any more: it is
// taken for success.
func unstick() {
	seen := map[string]bool{} // process numbers
	for ; ; time.Sleep(time.Second) {
		now := map[string]bool{}
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range links {
			program, _ := os.Readlink(link)
			pid := filepath.Base(filepath.Dir(link))
			if filepath.Base(program) != "openrc-run" || hasChildren(pid) {
				continue
			}
			if pipe := pipeToItself(pid); pipe != "" {
				if now[pid] = true; seen[pid] {
					_ = os.WriteFile(pipe, make([]byte, 4), 0) // an int, as of wait(2)
				}
			}
		}
		seen = now
	}
}

func hasChildren(pid string) bool {
	children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	return err != nil || len(children) > 0
}

// pipeToItself is the end for writing of a pipe that the process has both ends
// of; empty if there is none.
func pipeToItself(pid string) string {
	ends := map[string]map[int]string{}
	fds, _ := filepath.Glob("/proc/" + pid + "/fd/*")
	for _, fd := range fds {
		target, _ := os.Readlink(fd)
		if !strings.HasPrefix(target, "pipe:") {
			continue
		}
		info, _ := os.ReadFile("/proc/" + pid + "/fdinfo/" + filepath.Base(fd))
		var pos, flags string
		fmt.Sscanf(string(info), "pos: %s\nflags: %s", &pos, &flags)
		mode, err := strconv.ParseInt(flags, 8, 32)
		if err != nil {
			continue
		}
		if ends[target] == nil {
			ends[target] = map[int]string{}
		}
		ends[target][int(mode)&unix.O_ACCMODE] = fd
	}
	for _, ends := range ends {
		if ends[unix.O_RDONLY] != "" && ends[unix.O_WRONLY] != "" {
			return ends[unix.O_WRONLY]
		}
	}
	return ""
}
