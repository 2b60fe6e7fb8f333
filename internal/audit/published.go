package audit

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/option"
	"openrc-netns/internal/publish"
)

// Published lists what the host can reach in the network namespace of that inode,
// by the command lines of the daemons that run in it. It takes root: these
// daemons hide from everybody else.
func Published(inode uint64) []publish.Entry {
	services, _ := openrc.Services()
	var entries []publish.Entry
	for _, service := range services {
		if !strings.HasPrefix(service, publish.ServicePrefix) {
			continue
		}
		pid := openrc.ReadDaemons(service).Child
		if pid == 0 {
			continue
		}
		// The link tells it: the namespace need not be opened.
		shown, err := os.Readlink(procPath(pid))
		if err != nil || shown != fmt.Sprintf("net:[%d]", inode) {
			continue
		}
		cmdline, err := files.Read(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		var words []string
		for word := range bytes.SplitSeq(bytes.TrimSuffix(cmdline, []byte{0}), []byte{0}) {
			words = append(words, string(word))
		}
		entries = append(entries, operands(words)...)
	}
	return entries
}

// operands are the entries of a command line of netns-publish(8), behind its
// options and the name of the namespace.
func operands(words []string) []publish.Entry {
	set := option.Set{IgnoreUnknown: true}
	rest, _, err := set.Parse(words[1:])
	if err != nil || len(rest) == 0 {
		return nil
	}
	entries, _ := publish.ParseWords(rest[1:])
	return entries
}
