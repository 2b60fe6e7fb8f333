package audit

import "testing"

// Numbers that are given again while processes are read make circles of them.
func TestUntangle(t *testing.T) {
	processes := map[int]*process{}
	for pid, parent := range map[int]int{2: 1, 3: 2, 10: 30, 20: 10, 30: 20, 40: 10, 50: 50} {
		processes[pid] = &process{pid: pid, parent: parent}
	}
	untangle(processes)
	for pid, p := range processes {
		for steps := 0; p != nil; p = processes[p.parent] {
			if steps++; steps > len(processes) {
				t.Fatalf("%d is descended from itself", pid)
			}
		}
	}
	if processes[3].parent != 2 || processes[40].parent != 10 {
		t.Error("a parent was lost")
	}
}
