import functools, threading, os, subprocess, json
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import making, sys
from registry import proc

def test_x(released_model, tmp_path):
    root = released_model
    log=[]
    class H(SimpleHTTPRequestHandler):
        def log_message(self, f, *a): log.append(f%a)
    server = ThreadingHTTPServer(("127.0.0.1",0), functools.partial(H, directory=str(making.production(root))))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    env = {**os.environ, "PATH": proc.tool_path()}
    def dvc(cwd,*a):
        d = making.sh(cwd,"dvc",*a, env=env); print(a, d.returncode, d.stdout, d.stderr[-1500:]); return d
    with (root/".dvc/config").open("a") as f: f.write(f"['remote \"public\"']\n    url = {url}\n    verify = true\n")
    making.commit(root,"public"); making.git_in(root,"push","-q","origin","main")
    making.git_in(tmp_path,"clone","-q",str(making.origin(root)),"consumer")
    c = tmp_path/"consumer"
    dvc(c,"pull","-r","public")
    print(sorted((c/"datasets/pets/prepared").rglob("*")))
    dvc(tmp_path,"get",str(making.origin(root)),"datasets/pets/prepared","--remote","public","-o","got")
    dvc(tmp_path,"get",str(making.origin(root)),"datasets/pets/prepared","-o","got2")
    dvc(tmp_path,"artifacts","get",str(making.origin(root)),"datasets/pets","--rev","v1.0.0","--remote","public","-o","got3")
    dvc(tmp_path,"get",str(making.origin(root)),"datasets/pets/prepared","--rev", "datasets/pets@v1.0.0","--remote-config",f"url={url}","-o","got4")
    dvc(tmp_path,"get",str(making.origin(root)),"datasets/pets/prepared","--rev", "datasets/pets@v1.0.0","--remote","public","--remote-config",f"url={url}","-o","got5")
    import dvc.api
    try: print(dvc.api.read("models/pets/model.safetensors", repo=str(making.origin(root)), remote="public", mode="rb"))
    except Exception as e: print(repr(e))
    # tamper
    img=making.place(making.production(root), making.md5(b"one cat")); making.overwrite(img,b"one rat")
    making.git_in(tmp_path,"clone","-q",str(making.origin(root)),"consumer2")
    dvc(tmp_path/"consumer2","pull","-r","public")
    dvc(tmp_path,"get",str(making.origin(root)),"datasets/pets/prepared","--remote","public","-o","got6")
    print(log[:8], len(log))
    print({l.split('"')[1].split()[0] for l in log})
    dvc(root,"push","-r","public")
    (root/"datasets/pets/prepared/train/cat/new.jpg").write_bytes(b"new"); dvc(root,"add","datasets/pets/prepared"); print(dvc(root,"push","-r","public"))
    assert 0
