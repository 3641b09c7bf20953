"""An ordinary Flask application: one kept connection, autocommit off (PyMySQL's default), nothing that knows of Pumasi."""
import os

import pymysql
from flask import Flask, redirect, request

app = Flask(__name__)
kept = None


def database():
    global kept
    if kept is None:
        kept = pymysql.connect(host=os.environ["DATABASE_HOST"], port=int(os.environ["DATABASE_PORT"]), user="root", database=os.environ["DATABASE_NAME"])
        with kept.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS entry (id INT AUTO_INCREMENT PRIMARY KEY, word VARCHAR(100) NOT NULL)")
        kept.commit()
    return kept


@app.get("/")
def show():
    with database().cursor() as cursor:
        cursor.execute("SELECT word FROM entry ORDER BY id")
        return "\n".join(word for (word,) in cursor.fetchall()), 200, {"Content-Type": "text/plain; charset=utf-8"}


@app.post("/")
def add():
    with database().cursor() as cursor:
        cursor.execute("INSERT INTO entry (word) VALUES (%s)", (request.form["word"],))
    database().commit()
    return redirect("/", 303)
