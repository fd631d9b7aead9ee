-- Every change of an address space, with the thread that made it.
SELECT v.process_id, p.pid, coalesce(t.tid, p.pid), v.t_ns, v.op, v.address, v.length,
       v.address2, v.length2, v.prot, v.flags, v.fd, v.offset
FROM vm_event v JOIN process p ON p.id = v.process_id
LEFT JOIN thread t ON t.process_id = v.process_id AND t.number = v.thread
ORDER BY v.t_ns, v.id
