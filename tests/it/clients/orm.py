"""What two object-relational mappers do all day: python orm.py sqlalchemy|django HOST PORT DATABASE TABLE. Ends with "told" or a traceback."""
import sys

mapper, host, port, database, table = sys.argv[1:6]


def expect(got, wanted, what):
    if got != wanted:
        raise SystemExit(f"{mapper}: {what}: got {got!r}, wanted {wanted!r}")


def sqlalchemy():
    from sqlalchemy import ForeignKey, Numeric, String, create_engine, func, select
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = table + "_author"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(40), unique=True)
        books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")

    class Book(Base):
        __tablename__ = table + "_book"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(String(100))
        price: Mapped[float] = mapped_column(Numeric(8, 2), default=0)
        author_id: Mapped[int] = mapped_column(ForeignKey(Author.id))
        author: Mapped[Author] = relationship(back_populates="books")

    for driver in ["pymysql", "mysqldb", "mysqlconnector"]:
        engine = create_engine(
            f"mysql+{driver}://root:@{host}:{port}/{database}?charset=utf8mb4", pool_size=4, pool_pre_ping=True, pool_reset_on_return="rollback"
        )
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all([Author(name=f"이름{i}", books=[Book(title=f"{i}/{j}", price=i + j) for j in range(3)]) for i in range(5)])
            session.commit()
        with Session(engine) as one, Session(engine) as other:
            expect(one.scalar(select(func.count()).select_from(Book)), 15, driver + ": books")
            author = one.scalars(select(Author).where(Author.name == "이름3")).one()
            expect([book.title for book in author.books], ["3/0", "3/1", "3/2"], driver + ": a relation")
            author.books.append(Book(title="new", price=1.5))
            one.flush()
            expect(other.scalar(select(func.count()).select_from(Book)), 15, driver + ": not committed, not seen")
            other.rollback()
            one.commit()
            expect(other.scalar(select(func.count()).select_from(Book)), 16, driver + ": committed and seen")
            other.rollback()
            one.add(Author(name="이름3"))
            try:
                one.commit()
                raise SystemExit("a name was taken twice")
            except IntegrityError:
                one.rollback()
            with one.begin_nested() as savepoint:
                one.delete(author)
                one.flush()
                savepoint.rollback()
            expect(one.scalar(select(func.count()).select_from(Author)), 5, driver + ": rolled back to the savepoint")
            one.commit()
        # Rows that come while they are read, and isolation for one transaction.
        with engine.connect().execution_options(stream_results=True, isolation_level="READ COMMITTED") as connection:
            expect(sum(1 for _ in connection.execute(select(Book.id))), 16, driver + ": streamed")
        Base.metadata.drop_all(engine)
        engine.dispose()


def django():
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.mysql",
                "HOST": host,
                "PORT": port,
                "USER": "root",
                "PASSWORD": "",
                "NAME": database,
                "CONN_MAX_AGE": 60,
                "OPTIONS": {"charset": "utf8mb4", "isolation_level": "read committed"},
            }
        },
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    from django.contrib.auth.models import Group, Permission, User
    from django.core.management import call_command
    from django.db import IntegrityError, connection, transaction
    from django.db.models import Count, F

    call_command("migrate", verbosity=0)
    expect(Permission.objects.count() > 0, True, "permissions made by migrations")
    User.objects.all().delete()
    Group.objects.all().delete()
    users = [User.objects.create_user(f"user{i}", password="x") for i in range(4)]
    group, made = Group.objects.get_or_create(name="모두")
    expect(made, True, "a group is made")
    expect(Group.objects.get_or_create(name="모두")[1], False, "and found the next time")
    group.user_set.set(users[:3])
    expect(User.objects.filter(groups__name="모두").count(), 3, "a join")
    expect(list(Group.objects.annotate(n=Count("user")).values_list("n", flat=True)), [3], "an aggregate")
    Group.objects.bulk_create([Group(name=f"g{i}") for i in range(200)])
    expect(Group.objects.filter(name__startswith="g").count(), 200, "bulk")
    expect(Group.objects.filter(name__startswith="g").update(name=F("name")), 200, "rows matched count, though none changed")
    try:
        with transaction.atomic():
            users[0].first_name = "changed"
            users[0].save()
            with transaction.atomic():
                User.objects.create(username="user1")
    except IntegrityError:
        pass
    expect(User.objects.get(username="user0").first_name, "", "rolled back as a whole")
    with transaction.atomic():
        locked = User.objects.select_for_update().get(username="user0")
        locked.last_name = "locked"
        locked.save(update_fields=["last_name"])
    expect(User.objects.get(username="user0").last_name, "locked", "a locking read and its write")
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", ["100%"])
        expect(cursor.fetchone(), ("100%",), "a raw statement")
    expect(len(list(Group.objects.iterator(chunk_size=50))), 201, "an iterator")
    call_command("flush", verbosity=0, interactive=False)
    expect(User.objects.count(), 0, "flushed")


{"sqlalchemy": sqlalchemy, "django": django}[mapper]()
print("told")
