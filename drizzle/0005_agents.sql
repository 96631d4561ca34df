CREATE TABLE "agents" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"environment" text COLLATE "C" DEFAULT postern.scope_environment() NOT NULL,
	"tenant" text COLLATE "C" DEFAULT postern.scope_tenant() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"session_id" text COLLATE "C" NOT NULL,
	"compute" text COLLATE "C" NOT NULL,
	"secrets" text[] NOT NULL,
	"status" text COLLATE "C" DEFAULT 'running' NOT NULL,
	"exit_code" integer,
	"output" text COLLATE "C" DEFAULT '' NOT NULL,
	"truncated" boolean DEFAULT false NOT NULL,
	"stop_asked" boolean DEFAULT false NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"ended_at" timestamp with time zone,
	"heartbeat_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "agents_platform_environment_tenant_id_pk" PRIMARY KEY("platform","environment","tenant","id"),
	CONSTRAINT "environment" CHECK ("agents"."environment" in ('test', 'live')),
	CONSTRAINT "agents_status" CHECK ("agents"."status" in ('running', 'exited', 'failed', 'stopped', 'timeout', 'lost'))
);
--> statement-breakpoint
ALTER TABLE "agents" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "agents" ADD CONSTRAINT "agents_session" FOREIGN KEY ("platform","environment","tenant","session_id") REFERENCES "public"."sessions"("platform","environment","tenant","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "agents_session_created" ON "agents" USING btree ("platform","environment","tenant","session_id","created_at","id");--> statement-breakpoint
CREATE POLICY "tenant_scope" ON "agents" AS PERMISSIVE FOR ALL TO "postern_tenant" USING ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant())) WITH CHECK ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()));