import type { ChildProcess } from 'node:child_process';

/**
 * Ends a process that leads a group (spawned `detached`) with all that it has started: a build or a test must not run on
 * beside measurements.
 */
export function endGroup(leader: ChildProcess | null): void {
  try {
    if (leader?.pid) process.kill(-leader.pid, 'SIGKILL');
  } catch {
    // Nobody of it is left.
  }
}
