"""crmsh's own code for its qdevice stage, step by step, without Pacemaker.

Arguments: what to do, the arbiter's address, this node's, the cluster's name.
Two functions ask Pacemaker or corosync's objects for the nodes of the cluster; they are replaced.
"""

import sys

from crmsh import log

log.setup_logging()

from crmsh import corosync, qdevice, utils  # noqa: E402 (its loggers copy what is set up before)

task, arbiter, node, name = sys.argv[1:]
utils.list_cluster_nodes = lambda *_: [node]
utils.list_cluster_nodes_except_me = lambda *_: []
device = qdevice.QDevice(arbiter, cluster_name=name, is_stage=True)

if task == "validate":
    device.valid_qdevice_options()
    device.valid_qnetd()
elif task == "provision":
    device.certificate_process_on_init()
    device.write_qdevice_config()
elif task == "start":
    device.enable_qnetd()
    device.start_qnetd()
elif task == "status":
    corosync.query_qnetd_status()
elif task == "remove":
    qdevice.QDevice.remove_certification_files_on_qnetd()
    qdevice.QDevice.remove_qdevice_config()
    qdevice.QDevice.remove_qdevice_db()
else:
    sys.exit(f"what is {task}?")
